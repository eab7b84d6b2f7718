import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { derivationRounds } from '../../../src/tls/key-derivation.ts';
import { certificatesIn, materialFaults, validityCaution } from '../../../src/tls/material.ts';
import { pemBlocks, pemBytes } from '../../../src/tls/pem.ts';
import { createCertificates, EXTENSIONS } from '../../helpers/certificates.ts';

const certificates = await createCertificates();
const { ca, client, stranger, expired, encryptedClientKey, passphrase } = certificates;
const weak = await certificates.issue({
  ...{ name: 'weak', commonName: 'weak', algorithm: 'rsa', bits: 1024 },
  extensions: EXTENSIONS.client,
});

/** An encrypted key whose parameters say so; it need not decrypt. [RFC 8018 §A.4] */
function encryptedKey(iterations: number): string {
  const salt = der(0x04, Buffer.alloc(8));
  const pbkdf2 = der(0x30, oid('2a864886f70d01050c'), der(0x30, salt, integer(iterations)));
  const aes = der(0x30, oid('60864801650304012a'), der(0x04, Buffer.alloc(16)));
  const pbes2 = der(0x30, oid('2a864886f70d01050d'), der(0x30, pbkdf2, aes));
  return pem(der(0x30, pbes2, der(0x04, Buffer.alloc(32))));
}

const pem = (bytes: Buffer) =>
  `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${bytes.toString('base64')}\n-----END ENCRYPTED PRIVATE KEY-----\n`;

function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag, 0x81, content.length]), content]);
}

const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));

function integer(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(value, 1);
  return der(0x02, bytes);
}

describe('material that is in order', () => {
  test.each([
    ['nothing', {}],
    ['a CA', { ca: ca.cert }],
    ['several, with comments', { ca: `# one\n${ca.cert}# two\r\n${stranger.cert.replaceAll('\n', '\r\n')}` }],
    ['a pair', { cert: client.cert, key: client.key }],
    ['a chain', { cert: `${client.cert}${ca.cert}`, key: client.key }],
    [
      'parameters before the key',
      {
        cert: client.cert,
        key: `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${client.key}`,
      },
    ],
    ['an encrypted key', { cert: client.cert, key: encryptedClientKey, passphrase }],
    ['a passphrase that is not needed', { cert: client.cert, key: client.key, passphrase }],
  ])('%s', (_, texts) => {
    expect(materialFaults(texts)).toEqual([]);
  });
});

describe('faults', () => {
  const cut = client.cert.replace(/\nMII/, '\nXII');
  test.each<[string, object, [member: string, detail: RegExp][]]>([
    ['no certificate', { ca: '-----BEGIN CERTIFICATE REQUEST-----' }, [['ca', /no PEM block/]]],
    ['a certificate that does not end', { ca: ca.cert.slice(0, 200) }, [['ca', /no PEM block|cannot be read/]]],
    ['the second of two', { ca: `${ca.cert}${cut}` }, [['ca', /^Certificate 2 of 2 in `tls\.ca` cannot be read/]]],
    ['a key among certificates', { ca: `${ca.cert}${ca.key}` }, [['ca', /has a private key in it/]]],
    ['no key', { cert: client.cert, key: client.cert }, [['key', /no PEM block of a private key/]]],
    ['two keys', { cert: client.cert, key: `${client.key}${ca.key}` }, [['key', /more than one/]]],
    ['a key that is cut', { cert: client.cert, key: client.key.slice(0, 100) }, [['key', /cannot be read/]]],
    ['no passphrase', { cert: client.cert, key: encryptedClientKey }, [['passphrase', /is missing/]]],
    [
      'a wrong passphrase',
      { cert: client.cert, key: encryptedClientKey, passphrase: 'x' },
      [['passphrase', /does not decrypt/]],
    ],
    [
      'an empty passphrase',
      { cert: client.cert, key: encryptedClientKey, passphrase: '' },
      [['passphrase', /does not decrypt/]],
    ],
    ['the key of another', { cert: client.cert, key: stranger.key }, [['key', /not that of the certificate/]]],
    [
      'a chain in the wrong order',
      { cert: `${ca.cert}${client.cert}`, key: client.key },
      [['key', /the first in `tls\.cert`/]],
    ],
    ['a weak key', { cert: weak.cert, key: weak.key }, [['cert', /cannot be used: ee key too small/]]],
    [
      'all at once',
      { ca: 'x', cert: 'x', key: 'x' },
      [
        ['ca', /PEM/],
        ['cert', /PEM/],
        ['key', /PEM/],
      ],
    ],
  ])('%s', (_, texts, faults) => {
    expect(materialFaults(texts)).toEqual(
      faults.map(([member, detail]) => ({ member, detail: expect.stringMatching(detail) })),
    );
  });

  test('tell nothing of the material', () => {
    const texts = { cert: client.cert, key: encryptedClientKey, passphrase: 'not this one' };
    expect(JSON.stringify(materialFaults(texts))).not.toMatch(/not this one|error:|BEGIN (EC|PRIVATE)/);
  });
});

describe('a key that takes long to decrypt', () => {
  const bytesOf = (text: string) => pemBytes(pemBlocks(text)[0] ?? { label: '', text: '' }) ?? new Uint8Array();

  test('its rounds are read from its parameters', () => {
    expect(derivationRounds(bytesOf(encryptedKey(4_000_000_000)))).toBe(4_000_000_000);
    expect(derivationRounds(bytesOf(encryptedClientKey))).toBe(2048);
    const written = generateKeyPairSync('ed25519').privateKey;
    const scrambled = written.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase });
    expect(derivationRounds(bytesOf(scrambled.toString()))).toBe(2048);
  });

  test('scrypt counts by N, r and p, half: it takes half as long', () => {
    const cost = der(0x30, der(0x04, Buffer.alloc(8)), integer(16_384), integer(8), integer(3));
    const scrypt = der(0x30, oid('2b06010401da47040b'), cost);
    const pbes2 = der(0x30, oid('2a864886f70d01050d'), der(0x30, scrypt));
    expect(derivationRounds(der(0x30, pbes2, der(0x04, Buffer.alloc(8))))).toBe((16_384 * 8 * 3) / 2);
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['no parameters', der(0x30, der(0x30, oid('2a864886f70d01050d')))],
    ['an indefinite length', Buffer.from('3080308006032a03040000', 'hex')],
    ['more than there is', Buffer.from('30820fff', 'hex')],
  ])('what cannot be read takes for ever: %s', (_, bytes) => {
    expect(derivationRounds(bytes)).toBe(Number.POSITIVE_INFINITY);
  });

  test('is refused at once', () => {
    const begun = performance.now();
    const faults = materialFaults({ cert: client.cert, key: encryptedKey(2_000_000_000), passphrase });
    expect(faults).toEqual([
      { member: 'key', detail: expect.stringMatching(/takes 2000000000 rounds.*at most 100000 \(0\.1 s\)/) },
    ]);
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(materialFaults({ cert: client.cert, key: encryptedKey(100_001), passphrase })[0]?.member).toBe('key');
    // The same bytes with the usual number are tried, and do not decrypt.
    const usual = materialFaults({ cert: client.cert, key: encryptedKey(2048), passphrase });
    expect(usual).toEqual([{ member: 'passphrase', detail: expect.any(String) }]);
  });

  test('is not hidden behind another block', () => {
    const slow = encryptedKey(2_000_000_000);
    const hidden = `-----BEGIN X-----\n${slow}${createPrivateKey(client.key).export({ type: 'pkcs8', format: 'pem' })}`;
    const begun = performance.now();
    expect(materialFaults({ cert: client.cert, key: hidden, passphrase })).toHaveLength(1);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});

test('a text of a million beginnings is read in no time', () => {
  const begun = performance.now();
  expect(
    materialFaults({ ca: '-----BEGIN CERTIFICATE-----'.repeat(2_000), key: '-----BEGIN '.repeat(90_000) }),
  ).not.toEqual([]);
  expect(performance.now() - begun).toBeLessThan(5_000);
});

test('the certificates of a text, one by one', () => {
  expect(certificatesIn(`a\n${ca.cert}b\n${client.cert}${client.key}`)).toEqual([ca.cert, client.cert]);
});

test('a certificate whose time has not come, or is over', () => {
  expect(validityCaution(client.cert)).toBeNull();
  expect(validityCaution(expired.cert)).toMatch(/^expired on 20\d\d-/);
  expect(validityCaution(client.cert, new Date(0))).toMatch(/^is not valid before 20\d\d-/);
  // Only the client's own counts.
  expect(validityCaution(`${client.cert}${expired.cert}`)).toBeNull();
  expect(validityCaution('x')).toBeNull();
});
