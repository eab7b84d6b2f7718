/** Bytes of a Remaining Length at most. [MQTT 5.0 §1.5.5] */
const LONGEST_LENGTH = 4;

export interface FixedHeader {
  /** Bytes of the fixed header itself. */
  length: number;
  /** The Remaining Length: bytes of the packet after it. */
  remaining: number;
}

/** The fixed header at an offset. [MQTT 5.0 §2.1.4] */
export function readHeader(bytes: Buffer, start: number): FixedHeader | 'incomplete' | 'malformed' {
  let remaining = 0;
  for (let index = 0; index < LONGEST_LENGTH; index += 1) {
    const byte = bytes[start + 1 + index];
    if (byte === undefined) return 'incomplete';
    remaining += (byte & 0x7f) * 128 ** index;
    if (byte < 0x80) return { length: index + 2, remaining };
  }
  return 'malformed';
}

export function writeHeader(firstByte: number, remaining: number): Buffer {
  const header = [firstByte];
  let rest = remaining;
  do {
    const more = rest > 127 ? 0x80 : 0;
    header.push((rest % 128) | more);
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(header);
}
