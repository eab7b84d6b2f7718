import { SCRAM_SHA_256 } from '../../mqtt/authentication.ts';
import type { Report } from '../report.ts';
import { CONNECT_PROPERTIES, refuseMqtt5Members } from './mqtt5-only.ts';
import { checkBinary } from './publish-properties.ts';
import { type ConnectionPart, type ConnectionRule, versionOf } from './rule.ts';

/** The properties of CONNECT. [MQTT 5.0 §3.1.2.11] */
export const connectPropertyRules: ConnectionRule = (part, _context, report) => {
  const { properties } = part;
  if (properties === undefined) return;
  refuseMqtt5Members(CONNECT_PROPERTIES, properties, '/properties', versionOf(part), report);
  report.userProperties('/properties/userProperties', properties.userProperties);
  report.string('/properties/authenticationMethod', 'The Authentication Method', properties.authenticationMethod);
  checkBinary(
    properties.authenticationData,
    '/properties/authenticationData',
    'The Authentication Data',
    'MQTT 5.0 §3.1.2.11.10',
    report,
  );
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    report.fault(
      {
        pointer: '/properties/authenticationData',
        detail: 'Authentication Data without an Authentication Method is a Protocol Error.',
        reference: 'MQTT 5.0 §3.1.2.11.10',
      },
      ['/properties/authenticationMethod'],
    );
  }
  if (properties.authenticationMethod === SCRAM_SHA_256) checkScram(part, report);
};

function checkScram({ url, username, password, properties }: ConnectionPart, report: Report): void {
  if (properties?.authenticationData !== undefined) {
    report.fault(
      {
        pointer: '/properties/authenticationData',
        detail: `The bridge makes the Authentication Data of ${SCRAM_SHA_256} itself, from \`username\` and \`password\`.`,
        reference: 'RFC 5802 §5',
      },
      ['/properties/authenticationMethod'],
    );
  }
  // A broker profile may bring both.
  if (url === undefined && username === undefined && password === undefined) return;
  for (const [member, value] of Object.entries({ username, password })) {
    if (value !== undefined) continue;
    report.fault({ pointer: `/${member}`, detail: `${SCRAM_SHA_256} needs \`${member}\`.`, reference: 'RFC 5802 §5' }, [
      '/properties/authenticationMethod',
    ]);
  }
}
