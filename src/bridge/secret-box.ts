import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { SecretBox } from './dependencies.ts';

const VERSION = 'v1';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
/** GCM's own nonce length; random ones are safe for 2^32 values of a key. [NIST SP 800-38D §8.3] */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts with the first key, decrypts with whichever made the value: `v1.<key id>.<base64url of nonce, ciphertext
 * and tag>`. The context is authenticated with it, so that a value opens only where it was sealed. `open` throws an
 * `Error` that says why: no such key, another context, or altered text.
 */
export function createSecretBox(keys: readonly Uint8Array[]): SecretBox {
  const byId = new Map(keys.map((key) => [keyId(key), key]));
  const [first] = byId;
  if (first === undefined) throw new RangeError('a secret box needs at least one key');
  if (keys.some((key) => key.length !== KEY_BYTES)) throw new RangeError(`a key is ${KEY_BYTES} bytes`);
  const [id, key] = first;
  const prefix = `${VERSION}.${id}.`;

  return {
    seal(plain, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(prefix + context));
      const sealed = Buffer.concat([nonce, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return prefix + sealed.toString('base64url');
    },
    open(sealed, context) {
      const [version, madeWith = '', body = ''] = sealed.split('.');
      if (version !== VERSION) throw new Error('the secret was sealed in a format that this version does not know');
      const opener = byId.get(madeWith);
      if (opener === undefined) throw new Error(`the secret was sealed with key ${madeWith}, which is not configured`);
      const bytes = Buffer.from(body, 'base64url');
      if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('the secret is truncated');
      const decipher = createDecipheriv(CIPHER, opener, bytes.subarray(0, NONCE_BYTES))
        .setAAD(Buffer.from(`${VERSION}.${madeWith}.${context}`))
        .setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        const plain = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([plain, decipher.final()]).toString('utf8');
      } catch (cause) {
        throw new Error('the secret was altered, or belongs to another place', { cause });
      }
    },
  };
}

/** Tells keys apart without telling anything about them. */
function keyId(key: Uint8Array): string {
  return createHash('sha256').update('secret-box').update(key).digest('hex').slice(0, 8);
}
