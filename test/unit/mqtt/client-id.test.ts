import { describe, expect, test } from 'vitest';
import { clientIdCautions, generateClientId } from '../../../src/mqtt/client-id.ts';

describe('a generated ClientID', () => {
  test('has 22 characters that every broker accepts', () => {
    const ids = Array.from({ length: 2000 }, generateClientId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[0-9a-zA-Z]{22}$/);
    expect(ids.flatMap(clientIdCautions)).toEqual([]);
  });

  test('has every character about as often', () => {
    const counts = new Map<string, number>();
    const draws = 5000;
    for (let draw = 0; draw < draws; draw++) {
      for (const character of generateClientId()) counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    const expected = (draws * 22) / 62;
    expect(counts.size).toBe(62);
    // Eight standard deviations: a bias as of "modulo 62" would be a hundred.
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(8 * Math.sqrt(expected));
  });
});

test.each([
  ['abc123', []],
  ['', []],
  ['a'.repeat(23), []],
  ['a'.repeat(24), ['24 bytes']],
  ['a-b', ['outside']],
  ['ü'.repeat(12), ['24 bytes', 'outside']],
])('cautions for %j', (clientId, expected) => {
  expect(clientIdCautions(clientId)).toEqual(expected.map((part) => expect.stringContaining(part)));
});
