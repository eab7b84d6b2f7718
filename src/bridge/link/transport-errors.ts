import { CLOSED_UNANSWERED, type EarlyStage, type TransportError } from '../transports/early-end.ts';
import { FORBIDDEN_ADDRESS } from '../transports/guarded-lookup.ts';
import type { LinkEnd } from './link-end.ts';
import { describeTlsError } from './tls-errors.ts';
import { describeWebSocketError } from './websocket-errors.ts';

/** An end before the first byte of an answer. */
const EARLY_ENDS: Readonly<Record<EarlyStage, Pick<LinkEnd, 'kind' | 'detail'>>> = {
  handshake: {
    kind: 'tls',
    detail:
      'The peer closed the connection during the TLS handshake: perhaps the port is one for plaintext, or the broker does not accept the client certificate',
  },
  'unanswered-mqtts': {
    kind: 'unreachable',
    detail:
      'The peer closed the connection before CONNACK, right after the TLS handshake: perhaps it does not accept the client certificate (with TLS 1.3 that shows late) or the protocol',
  },
  'unanswered-mqtt': {
    kind: 'unreachable',
    detail:
      'The peer closed the connection before CONNACK, without any answer: perhaps the port is one for TLS, or for another protocol',
  },
  'unanswered-ws': {
    kind: 'unreachable',
    detail:
      'The peer does not answer as a WebSocket server, it closed the connection without any answer: perhaps the port is one for mqtt, for TLS (mqtts, wss), or for another protocol',
  },
  'unanswered-wss': {
    kind: 'unreachable',
    detail:
      'The peer does not answer as a WebSocket server, it closed the connection right after the TLS handshake: perhaps the port is one for mqtts, or the client certificate is not accepted (with TLS 1.3 that shows late)',
  },
};

/** What the system says of a network, by its code. [connect(2), getaddrinfo(3)] */
const NETWORK_FAULTS: Readonly<Record<string, (place: string) => string>> = {
  ECONNREFUSED: (place) => `Nothing listens at ${place}`,
  EHOSTUNREACH: (place) => `There is no way to ${place}`,
  ENETUNREACH: (place) => `There is no way to ${place}`,
  ETIMEDOUT: (place) => `There is no answer from ${place}`,
  ENOTFOUND: (place) => `There is no host of the name ${place}`,
  EAI_AGAIN: (place) => `No name server answers for ${place}`,
  ECONNRESET: () => 'The peer broke the connection off',
  EPIPE: () => 'The peer has closed the connection',
};

/** Ends without a reason of their own. */
const PLAIN_ENDS: ReadonlySet<unknown> = new Set([CLOSED_UNANSWERED, 'ECONNRESET', 'EPIPE']);

/** What an error of the transport means: which side failed, and why, in texts that can be shown to callers. */
export function describeTransportError(error: TransportError): LinkEnd {
  if (error.code === FORBIDDEN_ADDRESS) return { kind: 'forbidden', detail: error.message };
  const tls = describeTlsError(error);
  if (tls !== null) return { kind: 'tls', detail: tls };
  if (error.stage !== undefined && PLAIN_ENDS.has(error.code)) return { ...EARLY_ENDS[error.stage] };
  return { kind: 'unreachable', detail: describeWebSocketError(error) ?? ownText(error) };
}

/** A sentence for each address of a name that was tried; the text of an error that is not the system's is the bridge's. */
function ownText(error: TransportError): string {
  if (error instanceof AggregateError) return error.errors.map(ownText).join('; ');
  const { code, syscall, address, port, hostname } = error;
  if (typeof syscall !== 'string') return error.message || String(code ?? 'The network connection failed');
  const host = typeof address === 'string' && address.includes(':') ? `[${address}]` : address;
  const place = address === undefined ? String(hostname ?? 'the broker') : `${host}:${port}`;
  return `${NETWORK_FAULTS[String(code)]?.(place) ?? 'The network connection failed'} (${code})`;
}
