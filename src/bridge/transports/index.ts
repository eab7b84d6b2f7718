import type { Duplex } from 'node:stream';
import type { Scheme } from '../address.ts';
import { refuseForbiddenLiteral } from './guarded-lookup.ts';
import type { TransportTarget } from './target.ts';
import { openTcp } from './tcp.ts';
import { openTls } from './tls.ts';
import { openWebSocket } from './websocket.ts';

const OPENERS: Readonly<Record<Scheme, (target: TransportTarget) => Duplex>> = {
  mqtt: openTcp,
  mqtts: openTls,
  ws: openWebSocket,
  wss: openWebSocket,
  quic: () => {
    throw new Error('QUIC needs its optional package');
  },
};

/**
 * Starts to connect and answers the stream at once: what is written before it is open is sent when it is. Failures
 * are its `error` event; a forbidden literal address throws `ForbiddenAddress`.
 */
export function openTransport(target: TransportTarget): Duplex {
  if (target.fromCaller) refuseForbiddenLiteral(target.address.host);
  return OPENERS[target.address.scheme](target);
}
