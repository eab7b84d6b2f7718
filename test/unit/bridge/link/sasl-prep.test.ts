import { describe, expect, test } from 'vitest';
import { saslPrep } from '../../../../src/bridge/link/sasl-prep.ts';

describe('RFC 4013 §3', () => {
  test.each([
    ['SOFT HYPHEN mapped to nothing', 'I\u00adX', 'IX'],
    ['no transformation', 'user', 'user'],
    ['case preserved, will not match the one before', 'USER', 'USER'],
    ['output is NFKC, input in ISO 8859-1', '\u00aa', 'a'],
    ['output is NFKC, will match the first', '\u2168', 'IX'],
  ])('%s', (_, text, prepared) => expect(saslPrep(text)).toBe(prepared));

  test('prohibited character', () => {
    expect(() => saslPrep('\u0007')).toThrow('RFC 4013 §2.3');
  });
});

describe('what becomes what', () => {
  test.each([
    ['a space of another kind is a space', 'a\u00a0b\u3000c\u2003d', 'a b c d'],
    ['invisible ones go', '\ufeffa\u200db\ufe0fc\u2060d', 'abcd'],
    ['one letter in two forms is one', 'e\u0301', '\u00e9'],
    ['nothing is nothing', '', ''],
    ['what is unassigned or of a script from right to left stays', 'שלום 😀', 'שלום 😀'],
  ])('%s', (_, text, prepared) => expect(saslPrep(text)).toBe(prepared));
});

describe('what may not be there', () => {
  test.each([
    ['NUL', '\u0000'],
    ['DELETE', '\u007f'],
    ['a control character of C1', '\u0085'],
    ['a line separator', '\u2028'],
    ['private use', '\ue000'],
    ['private use beyond the first plane', '\u{f0000}'],
    ['no character', '\ufffe'],
    ['half a surrogate pair', '\ud800'],
    ['what stands for what could not be decoded', '\ufffd'],
    ['a description of an ideograph', '\u2ff0'],
    ['a mark that turns the direction', '\u200f'],
    ['a tag', '\u{e0041}'],
  ])('%s', (_, character) => {
    expect(() => saslPrep(`pass${character}word`)).toThrow('characters that it may not have');
  });
});
