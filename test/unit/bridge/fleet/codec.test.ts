import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, encode } from '../../../../src/bridge/fleet/codec.ts';
import { Problem } from '../../../../src/errors/problem.ts';

describe('values on their way between two instances', () => {
  const bytes = fc.uint8Array().map((array) => Buffer.from(array));
  const names = fc.oneof(fc.string(), fc.constantFrom('$bytes', '$problem', '$$bytes', '__proto__', '7', 'toJSON'));
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.jsonValue({ maxDepth: 1 }),
      bytes,
      fc.array(tie('value')),
      fc.dictionary(names, tie('value'), { noNullPrototype: true }),
    ),
  })).value;

  it('arrive as they left, whatever their members are called', () => {
    fc.assert(
      fc.property(value, (sent) => {
        expect(decode(encode([sent]))).toStrictEqual([toArrive(sent)]);
      }),
    );
  });

  it('carry problems with what the caller is to be told', () => {
    const sent = new Problem('broker-refused', { detail: 'no', reasonCode: 0x87, retryAfter: 3 });
    const [arrived] = decode(encode([sent])) as [Problem];
    expect(arrived).toBeInstanceOf(Problem);
    expect(arrived).toMatchObject({
      type: 'broker-refused',
      status: 422,
      details: { reasonCode: 0x87, retryAfter: 3 },
    });
    expect(arrived.message).toBe('no');
  });

  it('leave a document of a caller alone that looks like ours', () => {
    const patch = { $bytes: 3, nested: { $problem: { type: '/problems/internal' }, $$: 1 } };
    expect(decode(encode(patch))).toStrictEqual(patch);
  });

  it('are refused when they are something else', () => {
    for (const frame of [Buffer.alloc(0), Buffer.from('nonsense'), Buffer.from([0, 0, 0, 9, 123])]) {
      expect(() => decode(frame)).toThrow();
    }
  });

  /** JSON has no negative zero. */
  function toArrive(sent: unknown): unknown {
    if (Object.is(sent, -0)) return 0;
    if (sent instanceof Uint8Array || typeof sent !== 'object' || sent === null) return sent;
    if (Array.isArray(sent)) return sent.map(toArrive);
    const arrived = {};
    for (const [name, member] of Object.entries(sent)) {
      const options = { value: toArrive(member), enumerable: true, writable: true, configurable: true };
      Object.defineProperty(arrived, name, options);
    }
    return arrived;
  }
});
