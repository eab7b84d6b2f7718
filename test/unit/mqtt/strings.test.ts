import { describe, expect, test } from 'vitest';
import { checkString, isLongerThan, stringCaution } from '../../../src/mqtt/strings.ts';

describe('a UTF-8 Encoded String', () => {
  test.each([
    ['nothing', ''],
    ['ASCII', 'plant/7'],
    ['a surrogate pair', '🌡'],
    ['a byte order mark', '\ufeffa'],
    ['65535 bytes of one each', 'a'.repeat(65_535)],
    ['65535 bytes of three each', '€'.repeat(21_845)],
  ])('may be %s', (_, text) => {
    expect(checkString(text)).toBeNull();
  });

  test.each([
    ['U+0000', 'a\0b', 'MQTT-1.5.4-2'],
    ['a lone high surrogate', 'a\ud800', 'MQTT-1.5.4-1'],
    ['a lone low surrogate', '\udfffa', 'MQTT-1.5.4-1'],
    ['65536 bytes of one each', 'a'.repeat(65_536), 'MQTT 5.0 §1.5.4'],
    ['65536 bytes in fewer characters', `${'€'.repeat(21_845)}a`, 'MQTT 5.0 §1.5.4'],
  ])('may not have %s', (_, text, clause) => {
    expect(checkString(text)?.clause).toBe(clause);
  });

  test('a length in bytes is told', () => {
    expect(checkString('€'.repeat(30_000))?.predicate).toBe('is 90000 bytes of UTF-8, and a string has at most 65535');
  });

  test.each([
    ['abc', 3, false],
    ['abcd', 3, true],
    ['€', 3, false],
    ['€', 2, true],
  ])('%j against %i bytes', (text, limit, longer) => {
    expect(isLongerThan(text, limit)).toBe(longer);
  });

  test.each([
    ['\u0001', 'U+0001'],
    ['a\nb', 'U+000A'],
    ['\u007f', 'U+007F'],
    ['\u009f', 'U+009F'],
    ['\ufdd0', 'U+FDD0'],
    ['\uffff', 'U+FFFF'],
    ['\u{1fffe}', 'U+1FFFE'],
  ])('%j is better avoided', (text, notation) => {
    expect(stringCaution(text)).toContain(notation);
  });

  test.each(['', 'abc', ' ', '\u00a0', 'ü€🌡', '\ufdcf', '\ufdf0', '\ufffd'])('%j is usual', (text) => {
    expect(stringCaution(text)).toBeNull();
  });
});
