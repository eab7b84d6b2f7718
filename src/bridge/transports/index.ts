import type { Duplex } from 'node:stream';
import type { BrokerAddress, Scheme } from '../address.ts';
import type { TlsMaterial } from '../dependencies.ts';
import { refuseForbiddenLiteral } from './guarded-lookup.ts';
import { openTcp } from './tcp.ts';
import { openTls } from './tls.ts';
import { openWebSocket } from './websocket.ts';

/** Where and how to open the byte stream under an MQTT connection. */
export interface TransportTarget {
  address: BrokerAddress;
  tls: TlsMaterial;
  webSocket: { path: string; headers: Readonly<Record<string, string>>; protocol: string };
}

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
  refuseForbiddenLiteral(target.address.host);
  return OPENERS[target.address.scheme](target);
}
