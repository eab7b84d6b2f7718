import { generate, type IPublishPacket } from 'mqtt-packet';
import type { IncomingMessage, MessageProperties, OutgoingMessage, UserProperties } from '../../mqtt/message.ts';
import { readHeader, writeHeader } from './fixed-header.ts';

/** First bytes of the fixed headers; PUBREL's reserved flags are 0b0010. [MQTT-3.6.1-1] */
const ACK_HEADER = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;
export type AckCommand = keyof typeof ACK_HEADER;

/** An acknowledgement with reason code 0, which v5 lets leave out, so that its four bytes are the same on all versions. */
export function encodeAck(command: AckCommand, packetId: number): Buffer {
  return Buffer.from([ACK_HEADER[command], 2, packetId >> 8, packetId & 0xff]);
}

/** Acknowledgements with reason code 0, joined for one write. */
export function encodeAcks(acks: readonly { command: AckCommand; packetId: number }[]): Buffer {
  const bytes = Buffer.allocUnsafe(acks.length * 4);
  let at = 0;
  for (const { command, packetId } of acks) {
    bytes[at] = ACK_HEADER[command];
    bytes[at + 1] = 2;
    bytes.writeUInt16BE(packetId, at + 2);
    at += 4;
  }
  return bytes;
}

export const PINGREQ = Buffer.from([0xc0, 0]);

/** Bytes of Protocol Name and Protocol Level before the Connect Flags. [MQTT 5.0 §3.1.2] */
const BEFORE_CONNECT_FLAGS = 7;
const USER_NAME_FLAG = 0x80;
/** An empty User Name: its length. */
const EMPTY_STRING_BYTES = 2;

/**
 * MQTT 5.0 lets a password stand without a user name; the packet library does not. It is given an empty user name, which
 * this takes out of CONNECT again: the two bytes before the password, which is last. [MQTT 5.0 §3.1.2.9, §3.1.3]
 */
export function withoutUserName(connect: Buffer, passwordBytes: number): Buffer {
  const header = readHeader(connect, 0);
  if (typeof header === 'string') throw new Error('CONNECT did not come in one piece');
  const body = Buffer.from(connect.subarray(header.length));
  body[BEFORE_CONNECT_FLAGS] = (body[BEFORE_CONNECT_FLAGS] ?? 0) & ~USER_NAME_FLAG;
  const password = body.length - passwordBytes - 2;
  const remaining = body.length - EMPTY_STRING_BYTES;
  return Buffer.concat([
    writeHeader(connect[0] ?? 0, remaining),
    body.subarray(0, password - EMPTY_STRING_BYTES),
    body.subarray(password),
  ]);
}

export function encodeDisconnect(
  protocolLevel: number,
  reasonCode: number,
  properties?: { sessionExpiryInterval: number },
): Buffer {
  if (protocolLevel < 5) return Buffer.from([0xe0, 0]);
  return generate(
    { cmd: 'disconnect', reasonCode, ...(properties === undefined ? {} : { properties }) },
    { protocolVersion: 5 },
  );
}

/** A PUBLISH as it goes on the wire; `packetId` is not used at QoS 0. */
export function encodePublish(message: OutgoingMessage, packetId: number, protocolLevel: number): Buffer {
  const { topic, payload, qos, retain, properties } = message;
  const packet: IPublishPacket = { cmd: 'publish', topic, payload: asBuffer(payload), qos, retain, dup: false };
  if (qos > 0) packet.messageId = packetId;
  if (protocolLevel === 5 && properties !== undefined) packet.properties = toPacketProperties(properties);
  const bytes = generate(packet, { protocolVersion: protocolLevel });
  if (bytes.length === 0) throw new Error('The packet library could not write a PUBLISH');
  return bytes;
}

/** Sets DUP on an encoded PUBLISH that is sent again. [MQTT-3.3.1-1] */
export function markDuplicate(publish: Uint8Array): Buffer {
  const copy = Buffer.from(publish);
  copy[0] = (copy[0] ?? 0) | 0b1000;
  return copy;
}

/**
 * An arrived PUBLISH in the bridge's terms. A payload longer than `maxPayload` bytes is left out and its length kept;
 * `cut` bytes of it may not be there any more.
 */
export function toIncomingMessage(
  packet: IPublishPacket,
  receivedAt: number,
  { maxPayload, cut }: { maxPayload: number; cut: number },
): IncomingMessage {
  const payload = asBuffer(packet.payload);
  const length = payload.length + cut;
  const message: IncomingMessage = {
    topic: packet.topic,
    payload: length > maxPayload ? Buffer.alloc(0) : payload,
    qos: packet.qos,
    retain: packet.retain,
    dup: packet.dup,
    receivedAt,
  };
  if (length > maxPayload) message.oversize = length;
  if (packet.properties !== undefined) readPacketProperties(packet.properties, message);
  return message;
}

function readPacketProperties(source: NonNullable<IPublishPacket['properties']>, message: IncomingMessage): void {
  const { subscriptionIdentifier, topicAlias: _neverOffered, userProperties, ...rest } = source;
  const properties: MessageProperties = {};
  if (rest.payloadFormatIndicator !== undefined)
    properties.payloadFormatIndicator = rest.payloadFormatIndicator ? 1 : 0;
  if (rest.messageExpiryInterval !== undefined) properties.messageExpiryInterval = rest.messageExpiryInterval;
  if (rest.contentType !== undefined) properties.contentType = rest.contentType;
  if (rest.responseTopic !== undefined) properties.responseTopic = rest.responseTopic;
  if (rest.correlationData !== undefined) properties.correlationData = rest.correlationData;
  if (userProperties !== undefined) properties.userProperties = toUserProperties(userProperties);
  if (Object.keys(properties).length > 0) message.properties = properties;
  if (subscriptionIdentifier !== undefined) {
    message.subscriptionIdentifiers = Array.isArray(subscriptionIdentifier)
      ? subscriptionIdentifier
      : [subscriptionIdentifier];
  }
}

/** The library answers one value as a string and several as an array. */
export function toUserProperties(source: Readonly<Record<string, string | string[]>>): UserProperties {
  return Object.fromEntries(Object.entries(source).map(([name, value]) => [name, [value].flat()]));
}

/** The packet library writes nothing at all, and does not say so, when a name has no values or there are no names. */
export function packetUserProperties(properties: UserProperties | undefined): { userProperties?: UserProperties } {
  const present = Object.entries(properties ?? {}).filter(([, values]) => values.length > 0);
  return present.length === 0 ? {} : { userProperties: Object.fromEntries(present) };
}

/** Properties of a PUBLISH, or of a Will, in the packet library's types. */
export function toPacketProperties(properties: MessageProperties): NonNullable<IPublishPacket['properties']> {
  const { payloadFormatIndicator, correlationData, userProperties, ...rest } = properties;
  return {
    ...rest,
    ...packetUserProperties(userProperties),
    ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator: payloadFormatIndicator === 1 }),
    ...(correlationData === undefined ? {} : { correlationData: asBuffer(correlationData) }),
  };
}

function asBuffer(bytes: Uint8Array | string): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
