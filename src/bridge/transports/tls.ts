import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect } from 'node:tls';
import type { TlsMaterial } from '../dependencies.ts';
import { lookupFor } from './guarded-lookup.ts';
import type { TransportTarget } from './target.ts';

/** MQTT over TLS. The certificate is verified unless the operator allowed otherwise. */
export function openTls(target: TransportTarget): Duplex {
  const { address, tls } = target;
  const socket = connect({
    ...tlsOptions(address.host, tls),
    host: address.host,
    port: address.port,
    ...lookupFor(target),
  });
  socket.setNoDelay(true);
  return socket;
}

/** Node's options from ours. The server name defaults to the host; an IP address cannot be one (RFC 6066 §3). */
export function tlsOptions(host: string, tls: TlsMaterial): ConnectionOptions {
  const servername = tls.serverName ?? (isIP(host) === 0 ? host : undefined);
  return {
    rejectUnauthorized: tls.rejectUnauthorized !== false,
    ...(servername === undefined ? {} : { servername }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    ...(tls.alpn === undefined ? {} : { ALPNProtocols: [...tls.alpn] }),
  };
}
