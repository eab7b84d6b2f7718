/** Payloads are bytes; JSON bodies are text. The encodings that carry one in the other, and back. */
import { isUtf8 } from 'node:buffer';

/** How a payload is written in a request or an answer. */
export type PayloadEncoding = 'utf8' | 'base64' | 'json';
/** What a reader may ask for; `auto` is utf8 where the bytes are UTF-8, else base64. */
export type ReadEncoding = PayloadEncoding | 'auto';

/** A payload as text or a JSON value, and how it is written. */
export interface WrittenPayload {
  readonly payload: unknown;
  readonly encoding: PayloadEncoding;
}

const EMPTY = new Uint8Array(0);

/**
 * The bytes of a payload as a caller wrote it, or a sentence that says why there are none. An absent one is empty;
 * with `json` any other value is sent as its JSON text.
 */
export function encodePayload(value: unknown, encoding: PayloadEncoding): Uint8Array | { readonly reason: string } {
  if (value === undefined) return EMPTY;
  if (encoding === 'json') return Buffer.from(JSON.stringify(value));
  if (typeof value !== 'string') {
    return { reason: `With \`encoding\` "${encoding}" the payload is a string; any other JSON value needs "json".` };
  }
  if (encoding === 'utf8') {
    return value.isWellFormed()
      ? Buffer.from(value)
      : { reason: 'The payload has a lone surrogate, which UTF-8 cannot carry.' };
  }
  return (
    decodeBase64(value) ?? { reason: 'The payload is not base64: RFC 4648 §4, the standard alphabet, with padding.' }
  );
}

/**
 * A payload's bytes as they are answered. Bytes that are not what was asked for are written as base64, and
 * `encoding` says so; the Payload Format Indicator, which nobody has to check, plays no part.
 */
export function decodePayload(bytes: Uint8Array, encoding: ReadEncoding): WrittenPayload {
  if (encoding !== 'base64' && isUtf8(bytes)) {
    const text = bufferOf(bytes).toString('utf8');
    if (encoding !== 'json') return { payload: text, encoding: 'utf8' };
    const value = parseJson(text);
    if (value !== undefined) return { payload: value, encoding: 'json' };
  }
  return { payload: encodeBase64(bytes), encoding: 'base64' };
}

/** The bytes that a canonical base64 text means; null for another alphabet, missing padding or surplus bits. [RFC 4648 §4] */
export function decodeBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

/** Base64 in the standard alphabet, padded. [RFC 4648 §4] */
export function encodeBase64(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64');
}

/** Whether the bytes are well-formed UTF-8. */
export function isUtf8Text(bytes: Uint8Array): boolean {
  return isUtf8(bytes);
}

/** The value of a JSON text; undefined when it is none, which no JSON text means. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
