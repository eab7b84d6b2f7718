/**
 * Reads CONNECT packets as a strict server would: written from the OASIS specifications 3.1.1 and 5.0, and from 3.1,
 * sharing nothing with the library that the bridge writes them with. What a server must not accept throws.
 */

export interface DecodedWill {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** Will Properties, MQTT 5.0 only. */
  readonly properties?: DecodedProperties;
}

/** The properties that are there, by the names of the specification in camelCase; none has a default. */
export type DecodedProperties = Readonly<Record<string, PropertyValue>>;
/** Pairs are User Properties, in the order of the wire. */
type PropertyValue = number | string | Buffer | readonly (readonly [string, string])[];

/** What stands in the packet, and nothing that does not: an absent field is an absent member. */
export interface DecodedConnect {
  readonly protocolName: string;
  readonly protocolLevel: number;
  /** Clean Session on 3.x. */
  readonly cleanStart: boolean;
  readonly keepAlive: number;
  /** MQTT 5.0 only. */
  readonly properties?: DecodedProperties;
  readonly clientId: string;
  readonly will?: DecodedWill;
  readonly username?: string;
  readonly password?: Buffer;
}

interface PropertyType {
  readonly name: string;
  readonly read: (reader: Reader) => number | string | Buffer | readonly [string, string];
}

const byteFlag = (reader: Reader) => atMost(1, reader.byte());
const positive16 = (reader: Reader) => nonZero(reader.uint16());
const positive32 = (reader: Reader) => nonZero(reader.uint32());
const uint16 = (reader: Reader) => reader.uint16();
const uint32 = (reader: Reader) => reader.uint32();
const text = (reader: Reader) => reader.text();
const binary = (reader: Reader) => reader.binary();
const pair = (reader: Reader) => [reader.text(), reader.text()] as const;

const USER_PROPERTY = 0x26;

/** Of CONNECT. [MQTT 5.0 §3.1.2.11] */
const CONNECT_PROPERTIES: Readonly<Record<number, PropertyType>> = {
  17: { name: 'sessionExpiryInterval', read: uint32 },
  33: { name: 'receiveMaximum', read: positive16 },
  39: { name: 'maximumPacketSize', read: positive32 },
  34: { name: 'topicAliasMaximum', read: uint16 },
  25: { name: 'requestResponseInformation', read: byteFlag },
  23: { name: 'requestProblemInformation', read: byteFlag },
  [USER_PROPERTY]: { name: 'userProperties', read: pair },
  21: { name: 'authenticationMethod', read: text },
  22: { name: 'authenticationData', read: binary },
};

/** Of the Will. [MQTT 5.0 §3.1.3.2] */
const WILL_PROPERTIES: Readonly<Record<number, PropertyType>> = {
  24: { name: 'willDelayInterval', read: uint32 },
  1: { name: 'payloadFormatIndicator', read: byteFlag },
  2: { name: 'messageExpiryInterval', read: uint32 },
  3: { name: 'contentType', read: text },
  8: { name: 'responseTopic', read: text },
  9: { name: 'correlationData', read: binary },
  [USER_PROPERTY]: { name: 'userProperties', read: pair },
};

const NAMES: Readonly<Record<number, string>> = { 3: 'MQIsdp', 4: 'MQTT', 5: 'MQTT' };
const CONNECT = 0x10;

/** The length in bytes of the packet that begins there; null when not even its length has arrived. [MQTT 5.0 §2.1.4] */
export function packetLength(bytes: Buffer): number | null {
  let remaining = 0;
  for (let digits = 0; digits < 4; digits += 1) {
    const byte = bytes[1 + digits];
    if (byte === undefined) return null;
    remaining += (byte & 0x7f) * 128 ** digits;
    if (byte >= 0x80) continue;
    if (byte === 0 && digits > 0) throw new Error('the Remaining Length is longer than it has to be [MQTT-1.5.5-1]');
    return 2 + digits + remaining;
  }
  throw new Error('the Remaining Length has more than four bytes');
}

/** Decodes one whole CONNECT packet; throws with what is wrong, and the clause that says so. */
export function decodeConnect(packet: Buffer): DecodedConnect {
  if (packet[0] !== CONNECT) throw new Error(`0x${packet[0]?.toString(16)} does not begin a CONNECT [MQTT-3.1.0-1]`);
  const length = packetLength(packet);
  if (length !== packet.length) throw new Error(`the packet has ${packet.length} bytes and says ${length}`);
  let headerLength = 2;
  while ((packet[headerLength - 1] ?? 0) >= 0x80) headerLength += 1;
  const reader = new Reader(packet.subarray(headerLength));

  const protocolName = reader.text();
  const protocolLevel = reader.byte();
  if (NAMES[protocolLevel] !== protocolName) throw new Error(`${protocolName} ${protocolLevel} is no MQTT`);
  const flags = readFlags(reader.byte(), protocolLevel);
  const keepAlive = reader.uint16();
  const isV5 = protocolLevel === 5;
  const connect = {
    protocolName,
    protocolLevel,
    cleanStart: flags.cleanStart,
    keepAlive,
    ...(isV5 ? { properties: readConnectProperties(reader) } : {}),
    // Fields of the payload stand in this order. [MQTT-3.1.3-1]
    clientId: reader.text(),
    ...(flags.will ? { will: readWill(reader, flags, isV5) } : {}),
    ...(flags.username ? { username: reader.text() } : {}),
    ...(flags.password ? { password: reader.binary() } : {}),
  };
  reader.requireEnd('CONNECT');
  return connect;
}

interface Flags {
  readonly cleanStart: boolean;
  readonly will: boolean;
  readonly willQoS: number;
  readonly willRetain: boolean;
  readonly username: boolean;
  readonly password: boolean;
}

/** Connect Flags. [MQTT 5.0 §3.1.2.3] */
function readFlags(byte: number, protocolLevel: number): Flags {
  const bit = (position: number) => ((byte >> position) & 1) === 1;
  const willQoS = (byte >> 3) & 0b11;
  if (bit(0)) throw new Error('the reserved flag is set [MQTT-3.1.2-3]');
  if (willQoS === 3) throw new Error('the Will QoS is 3 [MQTT-3.1.2-12]');
  if (!bit(2) && (willQoS !== 0 || bit(5))) throw new Error('Will QoS or Will Retain without a Will [MQTT-3.1.2-11]');
  if (protocolLevel < 5 && bit(6) && !bit(7)) throw new Error('a password without a user name [MQTT-3.1.2-22]');
  return { cleanStart: bit(1), will: bit(2), willQoS, willRetain: bit(5), password: bit(6), username: bit(7) };
}

function readWill(reader: Reader, { willQoS, willRetain }: Flags, isV5: boolean): DecodedWill {
  const properties = isV5 ? { properties: readProperties(reader, WILL_PROPERTIES) } : {};
  const topic = reader.text();
  if (topic === '' || /[+#]/.test(topic)) throw new Error('the Will Topic is no Topic Name [MQTT-4.7.3-1]');
  return { ...properties, topic, payload: reader.binary(), qos: willQoS, retain: willRetain };
}

function readConnectProperties(reader: Reader): DecodedProperties {
  const properties = readProperties(reader, CONNECT_PROPERTIES);
  if ('authenticationData' in properties && !('authenticationMethod' in properties)) {
    throw new Error('Authentication Data without Authentication Method [MQTT 5.0 §3.1.2.11.10]');
  }
  return properties;
}

/** Every property but the User Property at most once. [MQTT 5.0 §2.2.2] */
function readProperties(outer: Reader, types: Readonly<Record<number, PropertyType>>): DecodedProperties {
  const reader = new Reader(outer.take(outer.variableByteInteger()));
  const properties: Record<string, PropertyValue> = {};
  const userProperties: (readonly [string, string])[] = [];
  while (!reader.atEnd) {
    const identifier = reader.variableByteInteger();
    const type = types[identifier];
    if (type === undefined) throw new Error(`the property 0x${identifier.toString(16)} does not belong here`);
    const value = type.read(reader);
    if (identifier === USER_PROPERTY) userProperties.push(value as readonly [string, string]);
    else if (type.name in properties) throw new Error(`the property ${type.name} is there twice`);
    else properties[type.name] = value as number | string | Buffer;
  }
  return userProperties.length === 0 ? properties : { ...properties, userProperties };
}

function atMost(limit: number, value: number): number {
  if (value > limit) throw new Error(`the value ${value} is above ${limit}: a Protocol Error`);
  return value;
}

function nonZero(value: number): number {
  if (value === 0) throw new Error('the value 0 is a Protocol Error');
  return value;
}

/** The data types of MQTT. [MQTT 5.0 §1.5] */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  requireEnd(what: string): void {
    if (!this.atEnd) throw new Error(`${this.#bytes.length - this.#at} bytes follow the last field of ${what}`);
  }

  take(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new Error('a field is longer than the packet');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  uint16(): number {
    return this.take(2).readUInt16BE();
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  /** In no more bytes than it takes. [MQTT-1.5.5-1] */
  variableByteInteger(): number {
    let value = 0;
    for (let digits = 0; digits < 4; digits += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * 128 ** digits;
      if (byte === 0 && digits > 0) throw new Error('a Variable Byte Integer is too long [MQTT-1.5.5-1]');
      if (byte < 0x80) return value;
    }
    throw new Error('a Variable Byte Integer has more than four bytes');
  }

  binary(): Buffer {
    return this.take(this.uint16());
  }

  /** Well-formed UTF-8 without U+0000; a byte order mark is a character like others. [MQTT-1.5.4-1, -2, -3] */
  text(): string {
    const decoded = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.binary());
    if (decoded.includes('\0')) throw new Error('a string contains U+0000 [MQTT-1.5.4-2]');
    return decoded;
  }
}
