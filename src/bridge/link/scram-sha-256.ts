import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Authentication } from './authentication.ts';
import { saslPrep } from './sasl-prep.ts';

/** No channel binding, no authorization identity; and the same in base64, as client-final repeats it. [RFC 5802 §7] */
const GS2_HEADER = 'n,,';
const CHANNEL_BINDING = Buffer.from(GS2_HEADER).toString('base64');
/** Fewer make the password guessable from what is on the wire [RFC 7677 §4]; more are an attack on our processor. */
const ITERATIONS = { min: 4_096, max: 1_000_000 };
const KEY_BYTES = 32;
const NONCE_BYTES = 18;

const deriveKey = promisify(pbkdf2);

/** SCRAM-SHA-256 as a client: neither side sends the password, and each proves that it knows it. [RFC 5802, RFC 7677] */
export class ScramSha256 implements Authentication {
  readonly initialData: Buffer;
  readonly #firstBare: string;
  readonly #nonce: string;
  readonly #password: Uint8Array;
  #serverSignature: Buffer | null = null;

  constructor(
    { username, password }: { username: string; password: Uint8Array },
    nonce: string = randomBytes(NONCE_BYTES).toString('base64'),
  ) {
    const name = saslPrep(username).replaceAll('=', '=3D').replaceAll(',', '=2C');
    this.#nonce = nonce;
    this.#password = password;
    this.#firstBare = `n=${name},r=${nonce}`;
    this.initialData = Buffer.from(GS2_HEADER + this.#firstBare);
  }

  async proceed(data: Buffer): Promise<Buffer> {
    if (this.#serverSignature !== null) throw new Error('SCRAM-SHA-256: the broker goes on after the last step');
    const serverFirst = data.toString();
    const { nonce, salt, iterations } = readServerFirst(serverFirst, this.#nonce);
    const salted = await deriveKey(prepared(this.#password), salt, iterations, KEY_BYTES, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const withoutProof = `c=${CHANNEL_BINDING},r=${nonce}`;
    const exchange = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const proof = xor(clientKey, hmac(sha256(clientKey), exchange));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), exchange);
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  complete(data: Buffer | undefined): void {
    const given = Buffer.from(attributes(data?.toString() ?? '').get('v') ?? '', 'base64');
    const expected = this.#serverSignature;
    if (expected === null || given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Error('SCRAM-SHA-256: the broker did not prove that it knows the password');
    }
  }
}

function readServerFirst(text: string, ourNonce: string): { nonce: string; salt: Buffer; iterations: number } {
  const given = attributes(text);
  if (given.has('m')) throw new Error('SCRAM-SHA-256: the broker asks for an extension that is not known');
  const nonce = given.get('r') ?? '';
  if (!nonce.startsWith(ourNonce) || nonce.length === ourNonce.length) {
    throw new Error('SCRAM-SHA-256: the broker’s nonce does not continue the bridge’s');
  }
  const salt = Buffer.from(given.get('s') ?? '', 'base64');
  if (salt.length === 0) throw new Error('SCRAM-SHA-256: the broker sent no salt');
  const iterations = /^\d{1,9}$/.test(given.get('i') ?? '') ? Number(given.get('i')) : 0;
  if (iterations < ITERATIONS.min || iterations > ITERATIONS.max) {
    throw new Error(
      `SCRAM-SHA-256: the broker’s iteration count is not from ${ITERATIONS.min} to ${ITERATIONS.max} [RFC 7677 §4]`,
    );
  }
  return { nonce, salt, iterations };
}

/** `a=1,b=2` by name. [RFC 5802 §5.1] */
function attributes(text: string): Map<string, string> {
  return new Map(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]));
}

/** Text is prepared; bytes that are no text are taken as they are. */
function prepared(password: Uint8Array): string | Uint8Array {
  try {
    return saslPrep(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(password));
  } catch (error) {
    if (error instanceof TypeError) return password;
    throw error;
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)));
}
