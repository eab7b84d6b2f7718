/** The members that MQTT 5.0 alone knows, with the names that it gives them. */
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import type { Report } from '../report.ts';

interface Named {
  readonly name: string;
  readonly section: string;
  /** What 3.x has in its place. */
  readonly instead?: string;
}

type Members = Readonly<Record<string, Named>>;

export const CONNECT_MEMBERS: Members = {
  cleanStart: { name: 'Clean Start', section: '3.1.2.4', instead: 'use `cleanSession`' },
  sessionExpiryInterval: {
    name: 'The Session Expiry Interval',
    section: '3.1.2.11.2',
    instead: 'a session that persists is `cleanSession` false',
  },
};

export const CONNECT_PROPERTIES: Members = {
  receiveMaximum: { name: 'The Receive Maximum', section: '3.1.2.11.3' },
  maximumPacketSize: { name: 'The Maximum Packet Size', section: '3.1.2.11.4' },
  requestResponseInformation: { name: 'Request Response Information', section: '3.1.2.11.6' },
  requestProblemInformation: { name: 'Request Problem Information', section: '3.1.2.11.7' },
  userProperties: { name: 'A User Property', section: '3.1.2.11.8' },
  authenticationMethod: { name: 'The Authentication Method', section: '3.1.2.11.9' },
  authenticationData: { name: 'Authentication Data', section: '3.1.2.11.10' },
};

export const WILL_PROPERTIES: Members = {
  delayInterval: { name: 'The Will Delay Interval', section: '3.1.3.2.2' },
  payloadFormatIndicator: { name: 'The Payload Format Indicator', section: '3.1.3.2.3' },
  messageExpiryInterval: { name: 'The Message Expiry Interval', section: '3.1.3.2.4' },
  contentType: { name: 'The Content Type', section: '3.1.3.2.5' },
  responseTopic: { name: 'The Response Topic', section: '3.1.3.2.6' },
  correlationData: { name: 'Correlation Data', section: '3.1.3.2.7' },
  userProperties: { name: 'A User Property', section: '3.1.3.2.8' },
};

export const PUBLISH_PROPERTIES: Members = {
  payloadFormatIndicator: { name: 'The Payload Format Indicator', section: '3.3.2.3.2' },
  messageExpiryInterval: { name: 'The Message Expiry Interval', section: '3.3.2.3.3' },
  responseTopic: { name: 'The Response Topic', section: '3.3.2.3.5' },
  correlationData: { name: 'Correlation Data', section: '3.3.2.3.6' },
  userProperties: { name: 'A User Property', section: '3.3.2.3.7' },
  contentType: { name: 'The Content Type', section: '3.3.2.3.9' },
};

export const SUBSCRIPTION_OPTIONS: Members = {
  noLocal: { name: 'No Local', section: '3.8.3.1' },
  retainAsPublished: { name: 'Retain As Published', section: '3.8.3.1' },
  retainHandling: { name: 'Retain Handling', section: '3.8.3.1' },
  subscriptionIdentifier: { name: 'The Subscription Identifier', section: '3.8.2.1.2' },
};

/** Faults each member of `part` that `version` does not have. A value that would be MQTT's default is no excuse. */
export function refuseMqtt5Members(
  members: Members,
  part: object | undefined,
  pointer: string,
  version: ProtocolVersion,
  report: Report,
): void {
  if (version === '5.0' || part === undefined) return;
  const given = new Set(Object.entries(part).flatMap(([member, value]) => (value === undefined ? [] : [member])));
  for (const [member, { name, section, instead }] of Object.entries(members)) {
    if (!given.has(member)) continue;
    const advice = instead === undefined ? '' : `; ${instead}`;
    report.fault(
      {
        pointer: `${pointer}/${member}`,
        detail: `${name} exists in MQTT 5.0 only, and this Connection speaks ${version}${advice}.`,
        reference: `MQTT 5.0 §${section}`,
      },
      ['/protocolVersion'],
    );
  }
}
