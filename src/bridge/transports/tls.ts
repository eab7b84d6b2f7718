import { isIP } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { TlsMaterial } from '../dependencies.ts';
import { tellEarlyEnd } from './early-end.ts';
import { lookupFor } from './guarded-lookup.ts';
import type { TransportTarget } from './target.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** MQTT over TLS. The certificate is verified unless the operator allowed otherwise. */
export function openTls(target: TransportTarget, contexts: TlsContexts): TLSSocket {
  const { address, tls } = target;
  const socket = connect({
    ...tlsOptions(address.host, tls),
    secureContext: contexts.secureContext(tls),
    host: address.host,
    port: address.port,
    ...lookupFor(target),
  });
  socket.setNoDelay(true);
  let secure = false;
  socket.once('secureConnect', () => {
    secure = true;
  });
  const unanswered = address.scheme === 'wss' ? 'unanswered-wss' : 'unanswered-mqtts';
  tellEarlyEnd(socket, () => (secure ? unanswered : 'handshake'));
  return socket;
}

/** Node's options from ours, beside the material. The server name defaults to the host; an IP address cannot be one (RFC 6066 §3). */
function tlsOptions(host: string, tls: TlsMaterial): ConnectionOptions {
  const servername = tls.serverName ?? (isIP(host) === 0 ? host : undefined);
  return {
    rejectUnauthorized: tls.rejectUnauthorized !== false,
    ...(servername === undefined ? {} : { servername }),
    ...(tls.alpn === undefined ? {} : { ALPNProtocols: [...tls.alpn] }),
  };
}
