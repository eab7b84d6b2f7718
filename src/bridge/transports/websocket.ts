import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { formatAddress } from './address.ts';
import type { TransportTarget } from './target.ts';
import { openTcp } from './tcp.ts';
import { openTls } from './tls.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** MQTT over WebSocket, `ws` or `wss`, in binary frames with MQTT's sub-protocol. [MQTT-6.0.0-3] */
export function openWebSocket(target: TransportTarget, contexts: TlsContexts): Duplex {
  const { address, webSocket } = target;
  const url = formatAddress({ ...address, path: webSocket.path });
  const socket = new WebSocket(url, [webSocket.protocol], {
    // The same sockets as without a WebSocket: what is said of TLS goes for both, and no proxy comes in between.
    createConnection: () => (address.scheme === 'wss' ? openTls(target, contexts) : openTcp(target)),
    headers: { ...webSocket.headers },
    followRedirects: false,
    perMessageDeflate: false,
  });
  const stream = createWebSocketStream(socket);
  // `end` comes once the WebSocket is closed. After a reset `ws` would wait for ever for what was still to be written.
  stream.once('end', () => stream.destroy());
  return stream;
}
