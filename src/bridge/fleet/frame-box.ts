import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = KEY_ID_BYTES + SALT_BYTES + NONCE_BYTES;
/** Senders whose key is remembered: one for each process that this one heard of. */
const MAX_SENDERS = 1_000;

/** Encrypts frames between instances: they carry payloads and credentials through a store that others may read. */
export interface FrameBox {
  seal(frame: Uint8Array, to: string): Buffer;
  /** Throws an `Error` when the frame was not sealed for that instance with one of the keys, or came before. */
  open(sealed: Uint8Array, to: string): Buffer;
}

interface Sender {
  readonly key: Uint8Array;
  /** The count in the nonce of the latest frame: frames of one sender keep their order, so none comes after a later one. */
  latest: bigint;
}

/**
 * `[key id][salt][nonce][ciphertext][tag]`. Each process encrypts with a key of its own, derived from the first of the
 * shared keys and a random salt, so that its nonces can count: random ones would run out. [NIST SP 800-38D §8.2.1]
 */
export function createFrameBox(keys: readonly Uint8Array[]): FrameBox {
  const byId = new Map(keys.map((key) => [keyId(key).toString('hex'), key]));
  const [first] = keys;
  if (first === undefined) throw new RangeError('a frame box needs at least one key');
  const salt = randomBytes(SALT_BYTES);
  const own = derive(first, salt);
  const prefix = Buffer.concat([keyId(first), salt]);
  const senders = new Map<string, Sender>();
  let count = 0n;

  function senderOf(sealed: Buffer): Sender {
    const name = sealed.toString('hex', 0, KEY_ID_BYTES + SALT_BYTES);
    const known = senders.get(name);
    if (known !== undefined) return known;
    const shared = byId.get(sealed.toString('hex', 0, KEY_ID_BYTES));
    if (shared === undefined) throw new Error('the frame was sealed with a key that is not configured');
    return { key: derive(shared, sealed.subarray(KEY_ID_BYTES, KEY_ID_BYTES + SALT_BYTES)), latest: 0n };
  }

  /** Only what could be opened: others cannot make us forget whom we know. */
  function remember(sealed: Buffer, sender: Sender): void {
    const [oldest] = senders.size >= MAX_SENDERS ? senders.keys() : [];
    if (oldest !== undefined) senders.delete(oldest);
    senders.set(sealed.toString('hex', 0, KEY_ID_BYTES + SALT_BYTES), sender);
  }

  return {
    seal(frame, to) {
      count += 1n;
      const nonce = Buffer.alloc(NONCE_BYTES);
      nonce.writeBigUInt64BE(count, NONCE_BYTES - 8);
      const cipher = createCipheriv(CIPHER, own, nonce).setAAD(Buffer.from(to));
      return Buffer.concat([prefix, nonce, cipher.update(frame), cipher.final(), cipher.getAuthTag()]);
    },
    open(given, to) {
      const sealed = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
      if (sealed.length < HEADER_BYTES + TAG_BYTES) throw new Error('the frame is truncated');
      const sender = senderOf(sealed);
      const nonce = sealed.subarray(KEY_ID_BYTES + SALT_BYTES, HEADER_BYTES);
      const number = nonce.readBigUInt64BE(NONCE_BYTES - 8);
      if (number <= sender.latest) throw new Error('the frame came before');
      const decipher = createDecipheriv(CIPHER, sender.key, nonce)
        .setAAD(Buffer.from(to))
        .setAuthTag(sealed.subarray(-TAG_BYTES));
      const frame = Buffer.concat([decipher.update(sealed.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()]);
      sender.latest = number;
      remember(sealed, sender);
      return frame;
    },
  };
}

function derive(key: Uint8Array, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, 'frames between instances', KEY_BYTES));
}

/** Tells keys apart without telling anything about them. */
function keyId(key: Uint8Array): Buffer {
  return createHash('sha256').update('frame-box').update(key).digest().subarray(0, KEY_ID_BYTES);
}
