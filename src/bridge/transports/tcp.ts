import { connect, type Socket } from 'node:net';
import { tellEarlyEnd } from './early-end.ts';
import { lookupFor } from './guarded-lookup.ts';
import type { TransportTarget } from './target.ts';

/** MQTT over TCP. Nagle's algorithm is off: packets are already joined before they are written. */
export function openTcp(target: TransportTarget): Socket {
  const { address } = target;
  const socket = connect({ host: address.host, port: address.port, ...lookupFor(target), noDelay: true });
  tellEarlyEnd(socket, () => (address.scheme === 'ws' ? 'unanswered-ws' : 'unanswered-mqtt'));
  return socket;
}
