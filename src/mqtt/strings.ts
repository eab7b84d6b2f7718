import { MAX_STRING_BYTES } from './limits.ts';

/** Why something may not go on the wire: a predicate ("is empty"), for a sentence whose subject the caller knows. */
export interface Breach {
  readonly predicate: string;
  /** `MQTT-1.5.4-2`, or a section where the specification gives the statement no number. */
  readonly clause: string;
}

const NUL = '\0';

/** What MQTT forbids in any UTF-8 Encoded String, or null. [MQTT 5.0 §1.5.4] */
export function checkString(text: string): Breach | null {
  if (text.includes(NUL)) {
    return { predicate: 'contains the null character U+0000, which no MQTT string may', clause: 'MQTT-1.5.4-2' };
  }
  if (!text.isWellFormed()) {
    return { predicate: 'contains a lone surrogate, which UTF-8 cannot carry', clause: 'MQTT-1.5.4-1' };
  }
  if (isLongerThan(text, MAX_STRING_BYTES)) {
    return {
      predicate: `is ${Buffer.byteLength(text)} bytes of UTF-8, and a string has at most ${MAX_STRING_BYTES}`,
      clause: 'MQTT 5.0 §1.5.4',
    };
  }
  return null;
}

/** Whether a text has more than `limit` bytes of UTF-8; counts them only where the length leaves a doubt. */
export function isLongerThan(text: string, limit: number): boolean {
  return text.length * 3 > limit && Buffer.byteLength(text) > limit;
}

const CONSEQUENCE = 'for which a broker may close the connection, as Mosquitto does';

/** What a string SHOULD NOT contain, because a receiver may close the connection for it; null when there is nothing. */
export function stringCaution(text: string): string | null {
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (isControl(point)) return `contains the control character ${notation(point)}, ${CONSEQUENCE}`;
    if (isNonCharacter(point)) return `contains the non-character ${notation(point)}, ${CONSEQUENCE}`;
  }
  return null;
}

function isControl(point: number): boolean {
  return (point >= 0x01 && point <= 0x1f) || (point >= 0x7f && point <= 0x9f);
}

/** Unicode's non-characters: U+FDD0–U+FDEF and the last two of every plane. */
function isNonCharacter(point: number): boolean {
  return (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) === 0xfffe;
}

function notation(point: number): string {
  return `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}
