import { isIP } from 'node:net';
import { Duplex } from 'node:stream';
import type { Scheme } from './address.ts';
import { ForbiddenAddress, isForbiddenAddress } from './guarded-lookup.ts';
import { openQuic } from './quic.ts';
import type { TransportTarget } from './target.ts';
import { openTcp } from './tcp.ts';
import { openTls } from './tls.ts';
import type { TlsContexts } from './tls-contexts.ts';
import { openWebSocket } from './websocket.ts';

const OPENERS: Readonly<Record<Scheme, (target: TransportTarget, contexts: TlsContexts) => Duplex>> = {
  mqtt: openTcp,
  mqtts: openTls,
  ws: openWebSocket,
  wss: openWebSocket,
  quic: openQuic,
};

/**
 * Starts to connect and answers the stream at once: what is written before it is open is sent when it is. Failures
 * are its `error` event.
 */
export function openTransport(target: TransportTarget, contexts: TlsContexts): Duplex {
  const { address, fromCaller } = target;
  // `net.connect` asks no `lookup` about a literal address.
  if (fromCaller && isIP(address.host) !== 0 && isForbiddenAddress(address.host)) {
    return failed(new ForbiddenAddress(`${address.host} may not be connected to`));
  }
  try {
    return OPENERS[address.scheme](target, contexts);
  } catch (error) {
    // TLS material that cannot be read is found before anything is opened.
    return failed(error as Error);
  }
}

/** A stream that fails as one to an unreachable host would. */
function failed(error: Error): Duplex {
  return new Duplex({ read: () => undefined }).destroy(error);
}
