import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeId, encodeId, MAX_ID_BYTES } from '../../../src/schemas/common.ts';
import { faultsThrown } from './validate.ts';

describe('an id in a path', () => {
  test.each([
    ['plant-7', 'plant-7'],
    ['plant/7', 'plant/7'],
    ['ü 🌡', 'ü 🌡'],
    ['~cGxhbnQvNw', 'plant/7'],
    ['~8J-MoQ', '🌡'],
    ['~fmE', '~a'],
    ['a~b', 'a~b'],
  ])('%j names %j', (segment, id) => {
    expect(decodeId(segment)).toBe(id);
  });

  test.each(['~', '~a', '~cGxhbnQvNw==', '~cGxh+nQv', '~_w', '~!!!', '~cG xh'])('%j names none', (segment) => {
    expect(faultsThrown(() => decodeId(segment)).map(({ pointer }) => pointer)).toEqual(['?id']);
  });

  test('comes back from its segment, whatever gateways do to percent signs and dots', () => {
    const ids = fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom('.', '..', '~', 'a/../b', '%2F'));
    fc.assert(
      fc.property(ids, (id) => {
        const segment = encodeId(id);
        expect(decodeId(decodeURIComponent(segment))).toBe(id);
        expect(new URL(`http://h/v1/connections/${segment}/messages`).pathname.split('/')).toHaveLength(5);
      }),
    );
  });

  test('fits into a path of 2048 characters', () => {
    expect(encodeId('/'.repeat(MAX_ID_BYTES)).length).toBeLessThan(1400);
  });
});
