import { describe, expect, test } from 'vitest';
import { createCertificates } from '../../helpers/certificates.ts';
import { faultsOf, validate } from './validate.ts';

const { ca, client, stranger, expired, encryptedClientKey, passphrase } = await createCertificates();
const withTls = (tls: object) => ({ clientId: 'abc', url: 'mqtts://broker.example.com', tls });
const pointersOf = (tls: object, context = {}) => faultsOf(withTls(tls), context).map(({ pointer }) => pointer);

const encrypted = { cert: client.cert, key: encryptedClientKey };

test('a document with all of TLS', () => {
  const tls = { ca: ca.cert, ...encrypted, passphrase, serverName: 'h', alpn: ['x-amzn-mqtt-ca'] };
  expect(validate(withTls(tls))).toMatchObject({ parameters: { tls }, warnings: [] });
});

describe('faults of certificates and keys', () => {
  test.each<[string, object, string[]]>([
    ['of each member', { ca: 'x', cert: 'x', key: 'x' }, ['/tls/ca', '/tls/cert', '/tls/key']],
    ['a wrong passphrase', { ...encrypted, passphrase: 'x' }, ['/tls/passphrase']],
    ['a missing passphrase', encrypted, ['/tls/passphrase']],
    ['a key of another certificate', { cert: client.cert, key: stranger.key }, ['/tls/key']],
    ['a key alone', { key: client.key }, ['/tls/key']],
    // Nothing is blamed for what the passphrase, or the certificate, may have been.
    ['a passphrase that is no text', { ...encrypted, passphrase: 5 }, ['/tls/passphrase']],
    ['a certificate that is no text', { cert: 5, key: client.key }, ['/tls/cert']],
  ])('%s', (_, tls, pointers) => {
    expect(pointersOf(tls)).toEqual(pointers);
  });
});

describe('a stored document', () => {
  test('is not judged by its key again: that is slow', () => {
    expect(pointersOf({ ...encrypted, passphrase: 'x' })).toHaveLength(1);
    expect(pointersOf({ ...encrypted, passphrase: 'x' }, { stored: true })).toEqual([]);
  });

  test('has its warnings', () => {
    const tls = { cert: expired.cert, key: expired.key };
    for (const stored of [false, true]) {
      expect(validate(withTls(tls), { stored }).warnings).toEqual([
        { code: 'client-certificate-not-valid', detail: expect.stringMatching(/expired on/), pointer: '/tls/cert' },
      ]);
    }
  });
});
