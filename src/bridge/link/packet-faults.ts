import type { Packet } from 'mqtt-packet';

/** What a property may be: the packet library collects repeated ones in an array, which none of these accepts. */
type IsSound = (value: unknown) => boolean;

const isText: IsSound = (value) => typeof value === 'string';
const isBinary: IsSound = (value) => Buffer.isBuffer(value);
const isFlag: IsSound = (value) => typeof value === 'boolean';
const isNumber: IsSound = (value) => typeof value === 'number';
const isPositive: IsSound = (value) => typeof value === 'number' && value > 0;
const isOneOf =
  (...values: unknown[]): IsSound =>
  (value) =>
    values.includes(value);
/** May repeat by itself. */
const isPairs: IsSound = (value) => typeof value === 'object';
const arePositive: IsSound = (value) => [value].flat().every(isPositive);

const REASON = { reasonString: isText, userProperties: isPairs };
const AUTHENTICATION = { authenticationMethod: isText, authenticationData: isBinary };

/** The properties that a server may send, by packet. No Topic Alias is ever offered. [MQTT 5.0 §2.2.2.2, table 2-4] */
const PROPERTIES: Readonly<Partial<Record<Packet['cmd'], Readonly<Record<string, IsSound>>>>> = {
  connack: {
    ...REASON,
    ...AUTHENTICATION,
    sessionExpiryInterval: isNumber,
    receiveMaximum: isPositive,
    maximumQoS: isOneOf(0, 1),
    retainAvailable: isFlag,
    maximumPacketSize: isPositive,
    assignedClientIdentifier: isText,
    topicAliasMaximum: isNumber,
    wildcardSubscriptionAvailable: isFlag,
    subscriptionIdentifiersAvailable: isFlag,
    sharedSubscriptionAvailable: isFlag,
    serverKeepAlive: isNumber,
    responseInformation: isText,
    serverReference: isText,
  },
  publish: {
    payloadFormatIndicator: isFlag,
    messageExpiryInterval: isNumber,
    responseTopic: isText,
    correlationData: isBinary,
    userProperties: isPairs,
    subscriptionIdentifier: arePositive,
    contentType: isText,
  },
  disconnect: { ...REASON, serverReference: isText },
  auth: { ...REASON, ...AUTHENTICATION },
  puback: REASON,
  pubrec: REASON,
  pubrel: REASON,
  pubcomp: REASON,
  suback: REASON,
  unsuback: REASON,
};

/** What makes a packet of the broker's a Protocol Error; null for a sound one. The connection must be closed then. */
export function packetFault(packet: Packet): string | null {
  return (packet.cmd === 'publish' ? publishFault(packet) : null) ?? propertyFault(packet);
}

function publishFault(packet: Extract<Packet, { cmd: 'publish' }>): string | null {
  if (packet.topic === '') return 'PUBLISH without a topic [MQTT-3.1.2-27]';
  if (/[+#\0]/.test(packet.topic)) return 'PUBLISH with a wildcard or NUL in its topic [MQTT-3.3.2-2]';
  if (packet.qos > 0 && !packet.messageId) return 'PUBLISH without a packet identifier [MQTT-2.2.1-4]';
  return null;
}

function propertyFault(packet: Packet): string | null {
  if (!('properties' in packet) || packet.properties === undefined) return null;
  const known = PROPERTIES[packet.cmd];
  const faulty = Object.entries(packet.properties).find(([name, value]) => known?.[name]?.(value) !== true);
  if (faulty === undefined) return null;
  return `${packet.cmd.toUpperCase()} with a ${faulty[0]} that cannot be [MQTT 5.0 §2.2.2.2]`;
}
