import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBase64, decodePayload, encodePayload, type PayloadEncoding } from '../../../src/mqtt/payload.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

describe('a payload that a caller writes', () => {
  test.each<[unknown, PayloadEncoding, Uint8Array]>([
    [undefined, 'utf8', bytes()],
    [undefined, 'json', bytes()],
    ['', 'utf8', bytes()],
    ['', 'base64', bytes()],
    ['ü', 'utf8', bytes(0xc3, 0xbc)],
    ['a\0', 'utf8', bytes(0x61, 0)],
    ['\ufeff', 'utf8', bytes(0xef, 0xbb, 0xbf)],
    ['/+8=', 'base64', bytes(0xff, 0xef)],
    [null, 'json', Buffer.from('null')],
    ['a', 'json', Buffer.from('"a"')],
    [{ a: [1, 'b', true] }, 'json', Buffer.from('{"a":[1,"b",true]}')],
    ['\ud800', 'json', Buffer.from('"\\ud800"')],
  ])('%j as %s', (value, encoding, expected) => {
    expect(Buffer.from(encodePayload(value, encoding) as Uint8Array)).toEqual(Buffer.from(expected));
  });

  test.each<[string, unknown, PayloadEncoding, RegExp]>([
    ['a number', 5, 'utf8', /is a string/],
    ['null', null, 'utf8', /is a string/],
    ['an object', {}, 'base64', /is a string/],
    ['a lone surrogate', 'a\ud800', 'utf8', /lone surrogate/],
    ['the URL alphabet', '_-8=', 'base64', /standard alphabet/],
    ['no padding', 'YQ', 'base64', /padding/],
    ['too much padding', 'YWI==', 'base64', /padding/],
    ['white space', 'YWJj\n', 'base64', /not base64/],
    ['surplus bits', 'YR==', 'base64', /not base64/],
    ['other characters', 'YW!j', 'base64', /not base64/],
  ])('is refused: %s', (_, value, encoding, reason) => {
    expect(encodePayload(value, encoding)).toEqual({ reason: expect.stringMatching(reason) });
  });
});

describe('a payload that arrived', () => {
  test.each<[string, Uint8Array, PayloadEncoding | 'auto', unknown, PayloadEncoding]>([
    ['text', Buffer.from('21.5'), 'auto', '21.5', 'utf8'],
    ['nothing', bytes(), 'auto', '', 'utf8'],
    ['a byte order mark', bytes(0xef, 0xbb, 0xbf, 0x61), 'auto', '\ufeffa', 'utf8'],
    ['U+0000', bytes(0), 'auto', '\0', 'utf8'],
    ['other bytes', bytes(0xff, 0xfe), 'auto', '//4=', 'base64'],
    ['an overlong form', bytes(0xc0, 0x80), 'auto', 'wIA=', 'base64'],
    ['a surrogate', bytes(0xed, 0xa0, 0x80), 'auto', '7aCA', 'base64'],
    ['a cut character', bytes(0xc3), 'auto', 'ww==', 'base64'],
    ['text', Buffer.from('a'), 'utf8', 'a', 'utf8'],
    ['other bytes', bytes(0xff), 'utf8', '/w==', 'base64'],
    ['text', Buffer.from('a'), 'base64', 'YQ==', 'base64'],
    ['JSON', Buffer.from('{"a":1}'), 'json', { a: 1 }, 'json'],
    ['JSON null', Buffer.from('null'), 'json', null, 'json'],
    ['what is no JSON', Buffer.from('{a'), 'json', 'e2E=', 'base64'],
    ['nothing', bytes(), 'json', '', 'base64'],
    ['other bytes', bytes(0xff), 'json', '/w==', 'base64'],
  ])('%s %j as %s', (_, payload, encoding, expected, written) => {
    expect(decodePayload(payload, encoding)).toEqual({ payload: expected, encoding: written });
  });

  test('is read where it lies in a larger buffer', () => {
    const whole = Buffer.from('before-inside-after');
    expect(decodePayload(new Uint8Array(whole.buffer, whole.byteOffset + 7, 6), 'auto').payload).toBe('inside');
  });

  test('comes back the same from any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.constantFrom('auto', 'utf8', 'base64'), (payload, encoding) => {
        const written = decodePayload(payload, encoding);
        expect(encodePayload(written.payload, written.encoding)).toEqual(Buffer.from(payload));
      }),
    );
  });

  test('comes back the same from any JSON value', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const value: unknown = JSON.parse(text);
        const sent = encodePayload(value, 'json') as Uint8Array;
        expect(decodePayload(sent, 'json')).toEqual({ payload: JSON.parse(JSON.stringify(value)), encoding: 'json' });
      }),
    );
  });
});

test('base64 has exactly one text for each run of bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 32 }), (payload) => {
      const text = Buffer.from(payload).toString('base64');
      expect(decodeBase64(text)).toEqual(Buffer.from(payload));
      expect(decodeBase64(`${text} `)).toBeNull();
    }),
  );
});
