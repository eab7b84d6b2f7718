import type { LinkEnd } from './link-end.ts';
import { FORBIDDEN_ADDRESS } from './transports/guarded-lookup.ts';

/** What an error of the transport means. */
export function describeTransportError(error: Error & { code?: unknown }): LinkEnd {
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === FORBIDDEN_ADDRESS) return { kind: 'forbidden', detail: error.message };
  const tls = /^(ERR_(TLS|SSL|OSSL)|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|EPROTO|HOSTNAME_MISMATCH)/.test(code);
  return { kind: tls ? 'tls' : 'unreachable', detail: error.message || code };
}
