/** A retained message as an HTTP representation. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, MessageProperties } from '../mqtt/message.ts';
import { encodeBase64 } from '../mqtt/payload.ts';

const BYTES = 'application/octet-stream';
const TEXT = 'text/plain; charset=utf-8';
const MEDIA_TYPE = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(;[\x20-\x7e]*)?$/;

/** What the headers of an answer with a retained message are, for its OpenAPI declaration. */
export const REPRESENTATION_HEADERS = {
  etag: 'Strong; changes with the payload and the properties.',
  'mqtt-qos': 'The QoS of the message.',
  'mqtt-retain': 'true',
  'mqtt-payload-format-indicator': '0 or 1.',
  'mqtt-message-expiry-interval': 'Seconds that the message still lives at the broker.',
  'mqtt-response-topic': 'Percent-encoded.',
  'mqtt-correlation-data': 'Base64.',
  'mqtt-user-property': 'name=value, both percent-encoded; repeated.',
};

/** The headers that go with the payload. */
export function representationHeaders(message: IncomingMessage): Record<string, string | string[]> {
  const properties = message.properties ?? {};
  const { messageExpiryInterval, payloadFormatIndicator, responseTopic, correlationData, userProperties } = properties;
  return {
    'content-type': mediaType(properties),
    etag: entityTag(message),
    // Anyone who may publish decides what this is: a browser must not run it as a page of the bridge.
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-cache',
    'mqtt-qos': String(message.qos),
    'mqtt-retain': String(message.retain),
    ...(payloadFormatIndicator === undefined
      ? {}
      : { 'mqtt-payload-format-indicator': String(payloadFormatIndicator) }),
    ...(messageExpiryInterval === undefined ? {} : { 'mqtt-message-expiry-interval': String(messageExpiryInterval) }),
    ...(responseTopic === undefined ? {} : { 'mqtt-response-topic': encodeURIComponent(responseTopic) }),
    ...(correlationData === undefined ? {} : { 'mqtt-correlation-data': encodeBase64(correlationData) }),
    ...(userProperties === undefined ? {} : { 'mqtt-user-property': pairs(userProperties) }),
  };
}

/** Whether `If-None-Match` names this representation. [RFC 9110 §13.1.2] */
export function matchesTag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

function mediaType({ contentType, payloadFormatIndicator }: MessageProperties): string {
  if (contentType !== undefined && MEDIA_TYPE.test(contentType)) return contentType;
  return payloadFormatIndicator === 1 ? TEXT : BYTES;
}

/** The expiry interval is left out: it is what remains, and counts down while nothing changes. [MQTT-3.3.2-6] */
function entityTag({ payload, properties = {} }: IncomingMessage): string {
  const { messageExpiryInterval: _remaining, correlationData, ...textual } = properties;
  const described = JSON.stringify([textual, correlationData === undefined ? null : encodeBase64(correlationData)]);
  return `"${createHash('sha256').update(described).update('\0').update(payload).digest('base64url').slice(0, 27)}"`;
}

function pairs(userProperties: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.entries(userProperties).flatMap(([name, values]) =>
    values.map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
  );
}
