import { createPrivateKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Quiche, QuicheConfig } from '../../../../src/bridge/transports/quic-package.ts';
import { TlsContexts } from '../../../../src/bridge/transports/tls-contexts.ts';
import { createCertificates } from '../../../helpers/certificates.ts';

const { ca, client, stranger, encryptedClientKey, passphrase } = await createCertificates();
const encrypted = { cert: client.cert, key: encryptedClientKey, passphrase };

/** A quiche that makes configurations which can do nothing, and says with which key. */
function countingQuiche() {
  const keys: (string | undefined)[] = [];
  const withBoringSslCtx = (...[, , , key]: Parameters<Quiche['Config']['withBoringSslCtx']>) => {
    keys.push(key?.toString());
    return new Proxy({} as QuicheConfig, { get: () => () => undefined });
  };
  return { quiche: { Config: { withBoringSslCtx } } as unknown as Quiche, keys };
}

describe('TLS over TCP', () => {
  test('the same material is read once, whatever the server is called', () => {
    const contexts = new TlsContexts();
    const first = contexts.secureContext({ ...encrypted, ca: ca.cert, serverName: 'a' });
    expect(contexts.secureContext({ ...encrypted, ca: ca.cert, serverName: 'b' })).toBe(first);
    expect(new TlsContexts().secureContext({ ...encrypted, ca: ca.cert })).not.toBe(first);
  });

  test('other material is other material', () => {
    const contexts = new TlsContexts();
    const { cert, key } = client;
    const materials = [
      {},
      { ca: ca.cert },
      { ca: stranger.cert },
      { cert, key },
      encrypted,
      { ...encrypted, ca: ca.cert },
    ];
    expect(new Set(materials.map((material) => contexts.secureContext(material))).size).toBe(materials.length);
  });

  test('a key that is known opens for its passphrase only, and a failure is not kept', () => {
    const contexts = new TlsContexts();
    contexts.secureContext(encrypted);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(() => contexts.secureContext({ ...encrypted, passphrase: 'x' })).toThrow('bad decrypt');
      expect(() => contexts.secureContext({ cert: client.cert, key: encryptedClientKey })).toThrow();
    }
  });

  test('what was used longest ago is forgotten', () => {
    const contexts = new TlsContexts();
    const used = contexts.secureContext({ passphrase: 'used' });
    const unused = contexts.secureContext({ passphrase: 'unused' });
    for (let index = 0; index < 255; index += 1) {
      contexts.secureContext({ passphrase: String(index) });
      expect(contexts.secureContext({ passphrase: 'used' })).toBe(used);
    }
    expect(contexts.secureContext({ passphrase: 'unused' })).not.toBe(unused);
  });
});

describe('QUIC', () => {
  test('a key is decrypted once', () => {
    const contexts = new TlsContexts();
    const { quiche, keys } = countingQuiche();
    const config = contexts.quicConfig(quiche, encrypted);
    expect(contexts.quicConfig(quiche, { ...encrypted, serverName: 'a' })).toBe(config);
    expect(keys).toEqual([createPrivateKey(client.key).export({ type: 'pkcs8', format: 'pem' })]);
  });

  test('what is verified and offered belongs to it', () => {
    const contexts = new TlsContexts();
    const { quiche } = countingQuiche();
    const materials = [{}, { rejectUnauthorized: false }, { alpn: ['x'] }, { alpn: ['x', 'y'] }, { ca: ca.cert }];
    expect(new Set(materials.map((material) => contexts.quicConfig(quiche, material))).size).toBe(materials.length);
  });
});
