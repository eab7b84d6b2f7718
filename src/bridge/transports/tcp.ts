import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { lookupFor } from './guarded-lookup.ts';
import type { TransportTarget } from './target.ts';

/** MQTT over TCP. Nagle's algorithm is off: packets are already joined before they are written. */
export function openTcp(target: TransportTarget): Duplex {
  const { address } = target;
  return connect({ host: address.host, port: address.port, ...lookupFor(target), noDelay: true });
}
