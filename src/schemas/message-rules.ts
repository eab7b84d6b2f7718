/** The validation of a message to publish: on the way of every publish, so the good case is one pass. */
import { Problem } from '../errors/problem.ts';
import type { MessageProperties, OutgoingMessage } from '../mqtt/message.ts';
import { decodeBase64, encodePayload } from '../mqtt/payload.ts';
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { checkTopicName } from '../mqtt/topics.ts';
import { type Sound, soundParts, structuralFaults } from './faults.ts';
import { type PublishMessage, type PublishMessageInput, publishMessage } from './message.ts';
import { Report } from './report.ts';
import { PUBLISH_PROPERTIES, refuseMqtt5Members } from './rules/mqtt5-only.ts';
import { checkPublishProperties } from './rules/publish-properties.ts';
import { ownSentence } from './sentences.ts';

export interface OutgoingLimits {
  /** Bytes of a payload. */
  readonly maxPayload: number;
  /** Of the Connection that publishes; absent where it is not known, and the properties are then not judged by it. */
  readonly protocolVersion?: ProtocolVersion;
}

/** A message to publish, and how many seconds its caller waits for the outcome. */
export type ValidOutgoing = OutgoingMessage & { readonly timeout: number };

/**
 * One message of a request, ready to be sent. Throws `invalid-request` with every fault, or `payload-too-large` when
 * that is all there is to say.
 */
export function validateOutgoing(input: unknown, limits: OutgoingLimits): ValidOutgoing {
  const parsed = publishMessage.safeParse(input, { error: ownSentence });
  const report = new Report(parsed.success ? [] : structuralFaults(parsed.error, input));
  const part = parsed.success ? parsed.data : soundParts(parsed.error, input as PublishMessageInput);
  const payload = part === undefined ? null : checkMessage(part, limits, report);
  report.throwIfFaulty();
  if (!parsed.success) throw parsed.error;
  if (payload === null) throw new TypeError('a payload that cannot be encoded was not reported');
  if (payload.length > limits.maxPayload) {
    throw new Problem('payload-too-large', {
      detail: `The payload is ${payload.length} bytes, and this bridge takes at most ${limits.maxPayload}.`,
    });
  }
  const { topic, qos, retain, timeout, properties } = parsed.data;
  if (properties === undefined) return { topic, payload, qos, retain, timeout };
  return { topic, payload, qos, retain, timeout, properties: toMessageProperties(properties) };
}

/** Reports what MQTT says across the members; answers the payload's bytes, or null where there are none to speak of. */
function checkMessage(part: MessagePart, { protocolVersion }: OutgoingLimits, report: Report): Uint8Array | null {
  if (part.topic !== undefined) report.breach('/topic', 'The Topic Name', checkTopicName(part.topic));
  const encoded = encodePayload(part.payload, part.encoding ?? 'utf8');
  const payload = 'reason' in encoded ? null : encoded;
  if ('reason' in encoded) report.fault({ pointer: '/payload', detail: encoded.reason }, ['/encoding']);
  const { properties } = part;
  if (properties !== undefined) {
    if (protocolVersion !== undefined) {
      refuseMqtt5Members(PUBLISH_PROPERTIES, properties, '/properties', protocolVersion, report);
    }
    checkPublishProperties(properties, '/properties', payload, report);
  }
  return payload;
}

type MessagePart = Sound<PublishMessageInput>;

function toMessageProperties(properties: NonNullable<PublishMessage['properties']>): MessageProperties {
  const { correlationData, ...textual } = properties;
  const bytes = correlationData === undefined ? null : decodeBase64(correlationData);
  return bytes === null ? textual : { ...textual, correlationData: bytes };
}
