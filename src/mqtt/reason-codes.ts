/** What the codes in MQTT's acknowledgements are called: one table per packet. [MQTT 5.0 §2.4, MQTT 3.1.1 §3.2.2.3] */
import type { ProtocolVersion } from './protocol-version.ts';

type ReasonTable = Readonly<Record<number, string>>;

export const CONNACK_REASONS: ReasonTable = {
  0: 'Success',
  128: 'Unspecified error',
  129: 'Malformed Packet',
  130: 'Protocol Error',
  131: 'Implementation specific error',
  132: 'Unsupported Protocol Version',
  133: 'Client Identifier not valid',
  134: 'Bad User Name or Password',
  135: 'Not authorized',
  136: 'Server unavailable',
  137: 'Server busy',
  138: 'Banned',
  140: 'Bad authentication method',
  144: 'Topic Name invalid',
  149: 'Packet too large',
  151: 'Quota exceeded',
  153: 'Payload format invalid',
  154: 'Retain not supported',
  155: 'QoS not supported',
  156: 'Use another server',
  157: 'Server moved',
  159: 'Connection rate exceeded',
};

/** CONNACK return codes of MQTT 3.1.1 and 3.1. */
export const CONNACK_RETURN_CODES: ReasonTable = {
  0: 'Connection Accepted',
  1: 'Connection Refused, unacceptable protocol version',
  2: 'Connection Refused, identifier rejected',
  3: 'Connection Refused, Server unavailable',
  4: 'Connection Refused, bad user name or password',
  5: 'Connection Refused, not authorized',
};

export const PUBACK_REASONS: ReasonTable = {
  0: 'Success',
  16: 'No matching subscribers',
  128: 'Unspecified error',
  131: 'Implementation specific error',
  135: 'Not authorized',
  144: 'Topic Name invalid',
  145: 'Packet Identifier in use',
  151: 'Quota exceeded',
  153: 'Payload format invalid',
};

/** The same codes with the same names as PUBACK's. [MQTT 5.0 §3.5.2.1] */
export const PUBREC_REASONS: ReasonTable = PUBACK_REASONS;

export const PUBREL_REASONS: ReasonTable = {
  0: 'Success',
  146: 'Packet Identifier not found',
};

/** The same codes with the same names as PUBREL's. [MQTT 5.0 §3.7.2.1] */
export const PUBCOMP_REASONS: ReasonTable = PUBREL_REASONS;

export const SUBACK_REASONS: ReasonTable = {
  0: 'Granted QoS 0',
  1: 'Granted QoS 1',
  2: 'Granted QoS 2',
  128: 'Unspecified error',
  131: 'Implementation specific error',
  135: 'Not authorized',
  143: 'Topic Filter invalid',
  145: 'Packet Identifier in use',
  151: 'Quota exceeded',
  158: 'Shared Subscriptions not supported',
  161: 'Subscription Identifiers not supported',
  162: 'Wildcard Subscriptions not supported',
};

/** SUBACK return codes of MQTT 3.1.1; 3.1 knows no 0x80, yet brokers send it. */
export const SUBACK_RETURN_CODES: ReasonTable = {
  0: 'Success - Maximum QoS 0',
  1: 'Success - Maximum QoS 1',
  2: 'Success - Maximum QoS 2',
  128: 'Failure',
};

export const UNSUBACK_REASONS: ReasonTable = {
  0: 'Success',
  17: 'No subscription existed',
  128: 'Unspecified error',
  131: 'Implementation specific error',
  135: 'Not authorized',
  143: 'Topic Filter invalid',
  145: 'Packet Identifier in use',
};

export const DISCONNECT_REASONS: ReasonTable = {
  0: 'Normal disconnection',
  4: 'Disconnect with Will Message',
  128: 'Unspecified error',
  129: 'Malformed Packet',
  130: 'Protocol Error',
  131: 'Implementation specific error',
  135: 'Not authorized',
  137: 'Server busy',
  139: 'Server shutting down',
  141: 'Keep Alive timeout',
  142: 'Session taken over',
  143: 'Topic Filter invalid',
  144: 'Topic Name invalid',
  147: 'Receive Maximum exceeded',
  148: 'Topic Alias invalid',
  149: 'Packet too large',
  150: 'Message rate too high',
  151: 'Quota exceeded',
  152: 'Administrative action',
  153: 'Payload format invalid',
  154: 'Retain not supported',
  155: 'QoS not supported',
  156: 'Use another server',
  157: 'Server moved',
  158: 'Shared Subscriptions not supported',
  159: 'Connection rate exceeded',
  160: 'Maximum connect time',
  161: 'Subscription Identifiers not supported',
  162: 'Wildcard Subscriptions not supported',
};

export const AUTH_REASONS: ReasonTable = {
  0: 'Success',
  24: 'Continue authentication',
  25: 'Re-authenticate',
};

const V5 = {
  connack: CONNACK_REASONS,
  puback: PUBACK_REASONS,
  pubrec: PUBREC_REASONS,
  pubrel: PUBREL_REASONS,
  pubcomp: PUBCOMP_REASONS,
  suback: SUBACK_REASONS,
  unsuback: UNSUBACK_REASONS,
  disconnect: DISCONNECT_REASONS,
  auth: AUTH_REASONS,
} as const;

/** Acknowledgements of 3.x that carry a code; the others of 3.x mean success by themselves. */
const V3: Partial<Record<ReasonedPacket, ReasonTable>> = {
  connack: CONNACK_RETURN_CODES,
  suback: SUBACK_RETURN_CODES,
};

/** Packets that carry a reason code. */
export type ReasonedPacket = keyof typeof V5;

/** Reason codes from here on mean failure. [MQTT 5.0 §2.4] */
export const FIRST_FAILURE = 0x80;

/** PUBACK and PUBREC: the message was accepted, but nobody subscribes. */
export const NO_MATCHING_SUBSCRIBERS = 0x10;
/** DISCONNECT from the server: another client connected with this ClientID. */
export const SESSION_TAKEN_OVER = 0x8e;

/** The name of a code as MQTT spells it; `Unknown reason code 0x…` for one that the packet does not have. */
export function reasonName(packet: ReasonedPacket, code: number, protocolVersion: ProtocolVersion): string {
  const table = (protocolVersion === '5.0' ? undefined : V3[packet]) ?? V5[packet];
  return table[code] ?? `Unknown reason code 0x${code.toString(16).padStart(2, '0')}`;
}

const TRANSIENT_REASONS: ReadonlySet<number> = new Set([0x88, 0x89, 0x97, 0x9f]);
const SERVER_UNAVAILABLE = 3;

/** Whether time will mend a CONNACK that refuses: the server is unavailable or busy, or a quota or rate is exceeded. */
export function isTransientRefusal(code: number, protocolVersion: ProtocolVersion): boolean {
  return protocolVersion === '5.0' ? TRANSIENT_REASONS.has(code) : code === SERVER_UNAVAILABLE;
}
