import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { inPackets, subscribeBytes } from '../../../../src/bridge/link/subscribe-packets.ts';

const filters = (maxLength: number) =>
  fc.array(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }).map((filter) => ({ filter })),
    { minLength: 1, maxLength },
  );
const identifier = fc.constantFrom(undefined, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455);

/** The packet as another library writes it. */
function written(items: readonly { filter: string }[], subscriptionIdentifier?: number): number {
  const subscriptions = items.map(({ filter }) => ({ topic: filter, qos: 1, nl: false, rap: false, rh: 0 }) as const);
  const properties = subscriptionIdentifier === undefined ? {} : { subscriptionIdentifier };
  return generate({ cmd: 'subscribe', messageId: 1, subscriptions, properties }, { protocolVersion: 5 }).length;
}

test('the bytes of a SUBSCRIBE are those that are written', () => {
  fc.assert(
    fc.property(filters(100), identifier, (items, subscriptionIdentifier) => {
      expect(subscribeBytes(items, subscriptionIdentifier)).toBe(written(items, subscriptionIdentifier));
    }),
  );
  const long = [{ filter: 'x'.repeat(65_535) }];
  expect(subscribeBytes(long)).toBe(written(long));
});

describe('packets', () => {
  test('hold everything in its order, none more than 100 filters, none more bytes than the broker takes', () => {
    fc.assert(
      fc.property(filters(400), identifier, fc.integer({ min: 0, max: 5_000 }), (items, id, room) => {
        const limit = Math.max(...items.map((item) => subscribeBytes([item], id))) + room;
        const packets = [...inPackets(items, limit, id)];
        expect(packets.flat()).toEqual(items);
        for (const packet of packets) {
          expect(packet.length).toBeGreaterThan(0);
          expect(packet.length).toBeLessThanOrEqual(100);
          expect(written(packet, id)).toBeLessThanOrEqual(limit);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('are as few as they can be without a limit', () => {
    const items = Array.from({ length: 250 }, (_, index) => ({ filter: `${index}` }));
    expect([...inPackets(items, Number.POSITIVE_INFINITY)].map(({ length }) => length)).toEqual([100, 100, 50]);
    expect([...inPackets([], 10)]).toEqual([]);
  });
});
