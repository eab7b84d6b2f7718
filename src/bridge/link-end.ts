import type { IConnackPacket, IDisconnectPacket } from 'mqtt-packet';

import { FORBIDDEN_ADDRESS } from './transports/guarded-lookup.ts';

/** Why a connection ended or never came to be. */
export interface LinkEnd {
  kind: 'refused' | 'forbidden' | 'tls' | 'unreachable' | 'timeout' | 'protocol' | 'disconnected' | 'closed' | 'ours';
  detail: string;
  /** CONNACK's or DISCONNECT's reason code. */
  reasonCode?: number;
  /** The broker's Reason String. */
  reasonString?: string;
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

/** What an error of the transport means. */
export function describeError(error: Error & { code?: unknown }): LinkEnd {
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === FORBIDDEN_ADDRESS) return { kind: 'forbidden', detail: error.message };
  const tls = /^(ERR_(TLS|SSL|OSSL)|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|EPROTO|HOSTNAME_MISMATCH)/.test(code);
  return { kind: tls ? 'tls' : 'unreachable', detail: error.message || code };
}

/** What an error of the MQTT library means, which it tells by its text; a CONNACK that refused comes first. */
export function describeClientError(error: Error, connack: IConnackPacket | undefined): LinkEnd {
  const reasonCode = connack?.reasonCode ?? connack?.returnCode ?? 0;
  if (connack !== undefined && reasonCode > 0) {
    const reasonString = connack.properties?.reasonString;
    return {
      kind: 'refused',
      detail: error.message,
      reasonCode,
      connack,
      ...(reasonString === undefined ? {} : { reasonString }),
    };
  }
  if (error.message === 'connack timeout') return { kind: 'timeout', detail: 'No CONNACK in time' };
  if (error.message === 'Keepalive timeout') return { kind: 'closed', detail: 'The broker did not answer PINGREQ' };
  if ('code' in error && typeof error.code === 'string') return describeError(error);
  return { kind: 'protocol', detail: error.message };
}

export function describeDisconnect({ reasonCode = 0, properties }: IDisconnectPacket): LinkEnd {
  return {
    kind: 'disconnected',
    detail: 'The broker sent DISCONNECT',
    reasonCode,
    ...(properties?.reasonString === undefined ? {} : { reasonString: properties.reasonString }),
  };
}

export function closedBeforeConnack(end: LinkEnd): LinkEnd {
  return end.kind === 'closed' ? { ...end, detail: 'The peer closed the connection before CONNACK' } : end;
}
