import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const ITERATIONS = 4_096;

/** The server's side of SCRAM-SHA-256 as RFC 5802 §3 writes it, for a password of ASCII. */
export class ScramServer {
  readonly #password: string;
  readonly #salt = randomBytes(16);
  #clientFirstBare = '';
  #serverFirst = '';
  #nonce = '';

  constructor(password: string) {
    this.#password = password;
  }

  /** The user name that the client gave; filled by `first`. */
  username = '';

  /** Answers client-first-message with server-first-message. */
  first(clientFirst: Buffer): Buffer {
    const [binding, identity, ...bare] = clientFirst.toString().split(',');
    if (binding !== 'n' || identity !== '') throw new Error('not what this server takes');
    this.#clientFirstBare = bare.join(',');
    this.username = bare[0]?.slice(2) ?? '';
    this.#nonce = `${bare[1]?.slice(2)}${randomBytes(12).toString('base64')}`;
    this.#serverFirst = `r=${this.#nonce},s=${this.#salt.toString('base64')},i=${ITERATIONS}`;
    return Buffer.from(this.#serverFirst);
  }

  /** Answers client-final-message with server-final-message; null when the client does not know the password. */
  final(clientFinal: Buffer): Buffer | null {
    const [binding, nonce, proof] = clientFinal.toString().split(',');
    if (binding !== 'c=biws' || nonce !== `r=${this.#nonce}`) return null;
    const authMessage = [this.#clientFirstBare, this.#serverFirst, binding, nonce].join(',');
    const salted = pbkdf2Sync(this.#password, this.#salt, ITERATIONS, 32, 'sha256');
    const mac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
    const storedKey = createHash('sha256').update(mac(salted, 'Client Key')).digest();
    const signature = mac(storedKey, authMessage);
    const given = Buffer.from(proof?.slice(2) ?? '', 'base64');
    // Stored key = H(proof XOR signature): the server has no need of the client key itself.
    const clientKey = Buffer.alloc(32);
    for (let at = 0; at < 32; at += 1) clientKey[at] = (given[at] ?? 0) ^ (signature[at] ?? 0);
    if (!createHash('sha256').update(clientKey).digest().equals(storedKey)) return null;
    return Buffer.from(`v=${mac(mac(salted, 'Server Key'), authMessage).toString('base64')}`);
  }
}
