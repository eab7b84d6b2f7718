import { createHash } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { TlsMaterial } from '../dependencies.ts';
import { quicConfig } from './quic-config.ts';
import type { Quiche, QuicheConfig } from './quic-package.ts';

/** Kept of each kind; what was used longest ago is forgotten first. */
const MAX_KEPT = 256;

/**
 * TLS material that has been read, so that no attempt to connect reads it again: all of the process waits while a key is
 * decrypted, for up to 0.1 s, or many CAs are parsed. In memory only, and known by digests. One per process.
 */
export class TlsContexts {
  readonly #secure = new Map<string, SecureContext>();
  readonly #quic = new Map<string, QuicheConfig>();

  /** For TLS over TCP. Throws OpenSSL's error on material that cannot be used. */
  secureContext({ ca, cert, key, passphrase }: TlsMaterial): SecureContext {
    return kept(this.#secure, [ca, cert, key, passphrase], () =>
      createSecureContext({
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(passphrase === undefined ? {} : { passphrase }),
      }),
    );
  }

  /** For QUIC, whose ALPN and whether to verify belong to it. Throws on material that cannot be used. */
  quicConfig(quiche: Quiche, tls: TlsMaterial): QuicheConfig {
    const { ca, cert, key, passphrase, alpn, rejectUnauthorized } = tls;
    return kept(this.#quic, [ca, cert, key, passphrase, alpn, rejectUnauthorized], () => quicConfig(quiche, tls));
  }
}

/** The value that was made of such parts before, else a new one. What cannot be made is not kept. */
function kept<Value>(values: Map<string, Value>, parts: readonly unknown[], make: () => Value): Value {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest('base64');
  const value = values.get(digest) ?? make();
  // Behind the others again: the map's order is that of use.
  values.delete(digest);
  values.set(digest, value);
  const [oldest] = values.keys();
  if (values.size > MAX_KEPT && oldest !== undefined) values.delete(oldest);
  return value;
}
