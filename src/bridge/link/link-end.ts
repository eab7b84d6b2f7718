import type { IConnackPacket } from 'mqtt-packet';
import type { UserProperties } from '../../mqtt/message.ts';

/** Why a connection ended or never came to be. */
export interface LinkEnd {
  kind:
    | 'refused'
    | 'authentication'
    | 'forbidden'
    | 'tls'
    | 'unreachable'
    | 'timeout'
    | 'protocol'
    | 'disconnected'
    | 'closed'
    | 'silent'
    | 'ours';
  detail: string;
  /** CONNACK's or DISCONNECT's reason code. */
  reasonCode?: number;
  /** The broker's Reason String. */
  reasonString?: string;
  /** Where else the broker says to go. [MQTT 5.0 §4.11] */
  serverReference?: string;
  /** User Properties of DISCONNECT. */
  userProperties?: UserProperties;
  connack?: IConnackPacket;
}

export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly end: LinkEnd;
  constructor(end: LinkEnd) {
    super(end.detail);
    this.end = end;
  }
}

export function closedBeforeConnack(end: LinkEnd): LinkEnd {
  return end.kind === 'closed' ? { ...end, detail: 'The peer closed the connection before CONNACK' } : end;
}
