import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createSecretBox } from '../../../src/bridge/secret-box.ts';

const [first, second] = [randomBytes(32), randomBytes(32)];

describe('secret box', () => {
  test('what was sealed opens in its place', () => {
    const box = createSecretBox([first]);
    for (const text of ['', 'päss', '{"a":"\u0000"}', 'x'.repeat(100_000)]) {
      const sealed = box.seal(text, 'key-1');
      expect(box.open(sealed, 'key-1')).toBe(text);
      if (text !== '') expect(sealed).not.toContain(text);
    }
    expect(box.seal('a', 'c')).not.toBe(box.seal('a', 'c'));
  });

  test('it does not open in another place, nor when altered', () => {
    const box = createSecretBox([first]);
    const sealed = box.seal('secret', 'key-1');
    expect(() => box.open(sealed, 'key-2')).toThrow(/altered|place/);
    const [version, id, body = ''] = sealed.split('.');
    const bytes = Buffer.from(body, 'base64url');
    for (let index = 0; index < bytes.length; index++) {
      const altered = Buffer.from(bytes);
      altered[index] = (altered[index] ?? 0) ^ 1;
      expect(() => box.open(`${version}.${id}.${altered.toString('base64url')}`, 'key-1')).toThrow();
    }
    expect(() => box.open(`${version}.${id}.`, 'key-1')).toThrow(/truncated/);
    expect(() => box.open(`v9.${id}.${body}`, 'key-1')).toThrow(/format/);
  });

  test('rotation: the first key encrypts, all decrypt, a key that is gone is named', () => {
    const old = createSecretBox([first]).seal('secret', 'c');
    const rotated = createSecretBox([second, first]);
    expect(rotated.open(old, 'c')).toBe('secret');
    const renewed = rotated.seal('secret', 'c');
    expect(createSecretBox([second]).open(renewed, 'c')).toBe('secret');
    expect(() => createSecretBox([second]).open(old, 'c')).toThrow(/not configured/);
  });

  test('keys have 32 bytes, and there is one', () => {
    expect(() => createSecretBox([])).toThrow(RangeError);
    expect(() => createSecretBox([randomBytes(16)])).toThrow(RangeError);
  });
});
