/**
 * How a message is kept as bytes, by every store:
 *
 * ```
 * offset  0  version           uint8, 1
 *         1  flags             uint8: bits 0–1 QoS, bit 2 retain, bit 3 dup; the others are ignored
 *         2  receivedAt        float64, milliseconds since the epoch
 *        10  topic length      uint16, bytes of UTF-8 [MQTT-1.5.4]
 *        12  header length     uint32, bytes of UTF-8; 0 when the message has none of the rare parts
 *        16  topic, header (JSON), payload (the rest)
 * ```
 *
 * The header holds what most messages lack: properties, subscription identifiers, oversize. Unknown members of it are
 * ignored, so a later release may add some without a new version.
 */
import type { IncomingMessage, MessageProperties, OutgoingMessage, QoS } from '../mqtt/message.ts';

const VERSION = 1;
const PREFIX_BYTES = 16;
const QOS_MASK = 0b0011;
const RETAIN = 0b0100;
const DUP = 0b1000;

/** Stored bytes that this release cannot read: of a newer format, or damaged. */
export class UnreadableMessage extends Error {
  override readonly name = 'UnreadableMessage';
}

interface Header {
  properties?: Omit<MessageProperties, 'correlationData'>;
  /** Base64. */
  correlationData?: string;
  subscriptionIdentifiers?: number[];
  oversize?: number;
}

/** The message as bytes, in one buffer of its own. */
export function encodeMessage(message: IncomingMessage): Buffer {
  const { topic, payload } = message;
  const header = encodeHeader(message);
  const topicBytes = Buffer.byteLength(topic);
  const headerBytes = header === '' ? 0 : Buffer.byteLength(header);
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + topicBytes + headerBytes + payload.length);
  bytes[0] = VERSION;
  bytes[1] = message.qos | (message.retain ? RETAIN : 0) | (message.dup ? DUP : 0);
  bytes.writeDoubleBE(message.receivedAt, 2);
  bytes.writeUInt16BE(topicBytes, 10);
  bytes.writeUInt32BE(headerBytes, 12);
  bytes.write(topic, PREFIX_BYTES);
  if (headerBytes > 0) bytes.write(header, PREFIX_BYTES + topicBytes);
  bytes.set(payload, PREFIX_BYTES + topicBytes + headerBytes);
  return bytes;
}

/**
 * The message that `encodeMessage` made these bytes of. Its payload is a view of `bytes`, not a copy.
 * Throws `UnreadableMessage`.
 */
export function decodeMessage(bytes: Uint8Array): IncomingMessage {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view[0];
  if (version !== VERSION) {
    throw new UnreadableMessage(
      `The stored message has format version ${version ?? '(none)'}; this release reads version ${VERSION}`,
    );
  }
  if (view.length < PREFIX_BYTES) throw new UnreadableMessage('The stored message is cut short');
  const flags = view.readUInt8(1);
  const headerAt = PREFIX_BYTES + view.readUInt16BE(10);
  const payloadAt = headerAt + view.readUInt32BE(12);
  if (view.length < payloadAt) throw new UnreadableMessage('The stored message is cut short');
  const message: IncomingMessage = {
    topic: view.toString('utf8', PREFIX_BYTES, headerAt),
    payload: view.subarray(payloadAt),
    qos: (flags & QOS_MASK) as QoS,
    retain: (flags & RETAIN) !== 0,
    dup: (flags & DUP) !== 0,
    receivedAt: view.readDoubleBE(2),
  };
  return payloadAt === headerAt
    ? message
    : Object.assign(message, decodeHeader(view.toString('utf8', headerAt, payloadAt)));
}

/** A message to publish, in the same format. */
export function encodeOutgoing(message: OutgoingMessage): Buffer {
  return encodeMessage({ ...message, dup: false, receivedAt: 0 });
}

/** As `decodeMessage`, of what `encodeOutgoing` made. */
export function decodeOutgoing(bytes: Uint8Array): OutgoingMessage {
  const { topic, payload, qos, retain, properties } = decodeMessage(bytes);
  return { topic, payload, qos, retain, ...(properties === undefined ? {} : { properties }) };
}

function encodeHeader({ properties, subscriptionIdentifiers, oversize }: IncomingMessage): string {
  if (properties === undefined && subscriptionIdentifiers === undefined && oversize === undefined) return '';
  const header: Header = {};
  if (properties !== undefined) {
    const { correlationData, ...textual } = properties;
    header.properties = textual;
    if (correlationData !== undefined) header.correlationData = base64(correlationData);
  }
  if (subscriptionIdentifiers !== undefined) header.subscriptionIdentifiers = subscriptionIdentifiers;
  if (oversize !== undefined) header.oversize = oversize;
  return JSON.stringify(header);
}

function decodeHeader(text: string): Pick<IncomingMessage, 'properties' | 'subscriptionIdentifiers' | 'oversize'> {
  const { properties, correlationData, subscriptionIdentifiers, oversize } = parseHeader(text);
  return {
    ...(properties === undefined
      ? {}
      : {
          properties:
            correlationData === undefined
              ? properties
              : { ...properties, correlationData: Buffer.from(correlationData, 'base64') },
        }),
    ...(subscriptionIdentifiers === undefined ? {} : { subscriptionIdentifiers }),
    ...(oversize === undefined ? {} : { oversize }),
  };
}

function parseHeader(text: string): Header {
  try {
    return JSON.parse(text) as Header;
  } catch (cause) {
    throw new UnreadableMessage('The header of the stored message is damaged', { cause });
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
