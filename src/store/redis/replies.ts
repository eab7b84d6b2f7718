/**
 * What a reply must be, checked where it enters. Replies are asked for as bytes; a script of another shape is a
 * fault of this release, not of the caller.
 */
export function asText(reply: unknown): string {
  return asBytes(reply).toString();
}

export function asTextOrNull(reply: unknown): string | null {
  return reply === null ? null : asText(reply);
}

export function asBytes(reply: unknown): Buffer {
  if (Buffer.isBuffer(reply)) return reply;
  throw new TypeError(`Redis answered a ${typeof reply} in place of a string`);
}

export function asNumber(reply: unknown): number {
  if (typeof reply === 'number') return reply;
  throw new TypeError(`Redis answered a ${typeof reply} in place of a number`);
}

export function asArray(reply: unknown): unknown[] {
  if (Array.isArray(reply)) return reply;
  throw new TypeError(`Redis answered a ${typeof reply} in place of an array`);
}

/** A flat array as rows of `width`. */
export function asRows(reply: unknown, width: number): unknown[][] {
  const flat = asArray(reply);
  return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
}
