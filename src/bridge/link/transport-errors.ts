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
  'unanswered-tls': {
    kind: 'unreachable',
    detail:
      'The peer closed the connection before CONNACK, right after the TLS handshake: perhaps it does not accept the client certificate (with TLS 1.3 that shows late) or the protocol',
  },
  'unanswered-plaintext': {
    kind: 'unreachable',
    detail:
      'The peer closed the connection before CONNACK, without any answer: perhaps the port is one for TLS, or for another protocol',
  },
};

/** Ends without a reason of their own. */
const PLAIN_ENDS: ReadonlySet<unknown> = new Set([CLOSED_UNANSWERED, 'ECONNRESET', 'EPIPE']);

/** What an error of the transport means: which side failed, and why, in texts that can be shown to callers. */
export function describeTransportError(error: TransportError): LinkEnd {
  if (error.code === FORBIDDEN_ADDRESS) return { kind: 'forbidden', detail: error.message };
  const tls = describeTlsError(error);
  if (tls !== null) return { kind: 'tls', detail: tls };
  if (error.stage !== undefined && PLAIN_ENDS.has(error.code)) return { ...EARLY_ENDS[error.stage] };
  return { kind: 'unreachable', detail: describeWebSocketError(error) ?? plainText(error) };
}

/** Node says nothing of its own where it tried several addresses of a name. */
function plainText(error: TransportError): string {
  if (error instanceof AggregateError) return error.errors.map(({ message }) => message).join('; ');
  return error.message || String(error.code ?? 'The network connection failed');
}
