import { Problem, type ProblemDocument } from '../../errors/problem.ts';

/**
 * Values as bytes, for the way between two instances: JSON, with binary data beside it as it is, and problems. In the
 * JSON an object with the one member `$bytes` or `$problem` stands for one of those; a member of a caller's that begins
 * with `$` gets another `$` before it.
 */
const MARK = '$';
const BYTES = '$bytes';
const PROBLEM = '$problem';
/** Bytes of the length in front of the JSON. */
const PREFIX = 4;

type Members = Record<string, unknown>;

/** `[length of the JSON][JSON][binary data …]`. What JSON does not know is left out. */
export function encode(value: unknown): Buffer {
  const blobs: Uint8Array[] = [];
  const json = Buffer.from(JSON.stringify(pack(value, blobs)) ?? 'null');
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(json.length);
  return Buffer.concat([prefix, json, ...blobs]);
}

/** Throws on what `encode` did not make. */
export function decode(frame: Uint8Array): unknown {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = PREFIX + bytes.readUInt32BE();
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  return unpack(JSON.parse(bytes.toString('utf8', PREFIX, at)), take);
}

/** The same value where there is nothing to put in another way: most of what is sent. */
function pack(value: unknown, blobs: Uint8Array[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) {
    blobs.push(value);
    return { [BYTES]: value.length };
  }
  if (value instanceof Problem) {
    const { retryAfter } = value.details;
    return { [PROBLEM]: pack({ ...value.toJSON(), ...(retryAfter === undefined ? {} : { retryAfter }) }, blobs) };
  }
  if (Array.isArray(value)) return value.map((item) => pack(item, blobs));
  return packMembers(value as Members, blobs);
}

function packMembers(members: Members, blobs: Uint8Array[]): Members {
  const names = Object.keys(members);
  // Without a prototype, so that a member named `__proto__` is a member; a spread copy has it as one, too.
  let packed: Members | null = names.some(isMarked) ? Object.create(null) : null;
  for (const name of names) {
    const inside = pack(members[name], blobs);
    if (packed === null && inside === members[name]) continue;
    packed ??= { ...members };
    packed[isMarked(name) ? MARK + name : name] = inside;
  }
  return packed ?? members;
}

/** In the order of the text, which is that of the binary data. Changes the value that it is given. */
function unpack(value: unknown, take: (length: number) => Buffer): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const members = value as Members;
  const names = Object.keys(members);
  for (const name of names) {
    const inside = members[name];
    if (typeof inside === 'object' && inside !== null) members[name] = unpack(inside, take);
  }
  if (Array.isArray(value) || !names.some(isMarked)) return value;
  if (typeof members[BYTES] === 'number') return take(members[BYTES]);
  if (members[PROBLEM] !== undefined) return Problem.from(members[PROBLEM] as ProblemDocument);
  const plain: Members = {};
  for (const name of names) {
    const options = { value: members[name], enumerable: true, writable: true, configurable: true };
    Object.defineProperty(plain, isMarked(name) ? name.slice(1) : name, options);
  }
  return plain;
}

function isMarked(name: string): boolean {
  return name.startsWith(MARK);
}
