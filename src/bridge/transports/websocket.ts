import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { formatAddress } from '../address.ts';
import { lookupFor } from './guarded-lookup.ts';
import type { TransportTarget } from './target.ts';
import { tlsOptions } from './tls.ts';

/** MQTT over WebSocket, `ws` or `wss`, in binary frames with MQTT's sub-protocol. [MQTT-6.0.0-3] */
export function openWebSocket(target: TransportTarget): Duplex {
  const { address, tls, webSocket } = target;
  const url = formatAddress({ ...address, path: webSocket.path });
  const socket = new WebSocket(url, [webSocket.protocol], {
    ...(address.scheme === 'wss' ? tlsOptions(address.host, tls) : {}),
    headers: { ...webSocket.headers },
    ...lookupFor(target),
    followRedirects: false,
    perMessageDeflate: false,
  });
  return createWebSocketStream(socket);
}
