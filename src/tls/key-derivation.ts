/** What it costs to decrypt a PKCS#8 key with its passphrase: whoever wrote the key chose that. [RFC 8018, RFC 7914] */

const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const NULL = 0x05;
const SEQUENCE = 0x30;

/** 1.3.6.1.4.1.11591.4.11 */
const SCRYPT = '2b06010401da47040b';

/**
 * What it costs, in rounds of PBKDF2: its iteration count; scrypt's N·r·p counts half, as long as it takes. Infinite
 * when the bytes (DER, an EncryptedPrivateKeyInfo) cannot be read.
 */
export function derivationRounds(der: Uint8Array): number {
  const algorithm = { identifiers: [] as string[], numbers: [] as number[] };
  try {
    const info = readElement(der, 0);
    collect(der, readElement(der, info.start), algorithm);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
  const [first = Number.POSITIVE_INFINITY, second = 1, third = 1] = algorithm.numbers;
  return algorithm.identifiers.includes(SCRYPT) ? (first * second * third) / 2 : first;
}

interface Element {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

/** The element at an offset, of a definite length. [X.690 §8.1] */
function readElement(der: Uint8Array, at: number): Element {
  const [tag, length] = [byteAt(der, at), byteAt(der, at + 1)];
  const lengthBytes = length < 0x80 ? 0 : length & 0x7f;
  if (length === 0x80 || lengthBytes > 4) throw new RangeError('no definite length');
  const start = at + 2 + lengthBytes;
  const end = start + (lengthBytes === 0 ? length : readNumber(der, at + 2, start));
  if (end > der.length) throw new RangeError('longer than its bytes');
  return { tag, start, end };
}

/** Gathers object identifiers and integers in their order, at any depth. */
function collect(der: Uint8Array, element: Element, into: { identifiers: string[]; numbers: number[] }): void {
  const { tag, start, end } = element;
  if (tag === INTEGER) into.numbers.push(readNumber(der, start, end));
  else if (tag === OBJECT_IDENTIFIER) into.identifiers.push(Buffer.from(der.subarray(start, end)).toString('hex'));
  else if (tag === SEQUENCE) {
    for (let at = start; at < end; ) {
      const child = readElement(der, at);
      collect(der, child, into);
      at = child.end;
    }
  } else if (tag !== OCTET_STRING && tag !== NULL) throw new RangeError(`unexpected tag ${tag}`);
}

function readNumber(der: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at += 1) value = value * 256 + byteAt(der, at);
  return value;
}

function byteAt(der: Uint8Array, at: number): number {
  const byte = der[at];
  if (byte === undefined) throw new RangeError('longer than its bytes');
  return byte;
}
