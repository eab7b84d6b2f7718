import { describe, expect, test } from 'vitest';
import { connectionPatch, mergePatch } from '../../../src/schemas/connection-patch.ts';

describe('JSON merge patch', () => {
  // The test cases of RFC 7396, appendix A.
  test.each<[unknown, unknown, unknown]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j and %j make %j', (target, patch, expected) => {
    expect(mergePatch(target, patch)).toEqual(expected);
  });

  test('changes neither of its arguments, and no prototype', () => {
    const target = { a: { b: 1 } };
    const patch: unknown = JSON.parse('{"a": {"b": 2}, "__proto__": {"polluted": true}}');
    const merged = mergePatch(target, patch);
    expect(target).toEqual({ a: { b: 1 } });
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    expect({}).not.toHaveProperty('polluted');
  });
});

describe('the schema of a patch', () => {
  test.each([
    [{}],
    [{ keepAlive: 30 }],
    [{ will: null, tls: { key: null }, queue: { maxAge: 5 } }],
    [{ idleTtl: null, subscriptions: [{ filter: 'a' }] }],
  ])('takes %j', (patch) => {
    expect(connectionPatch.safeParse(patch).success).toBe(true);
  });

  test('adds no defaults', () => {
    expect(connectionPatch.parse({ queue: { maxAge: 5 }, will: {} })).toEqual({ queue: { maxAge: 5 }, will: {} });
  });

  test.each([[null], [[]], [{ foo: 1 }], [{ queue: { foo: 1 } }], [{ keepAlive: 'x' }]])('refuses %j', (patch) => {
    expect(connectionPatch.safeParse(patch).success).toBe(false);
  });
});
