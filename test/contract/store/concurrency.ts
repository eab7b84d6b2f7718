import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { StaleEpoch } from '../../../src/bridge/ports.ts';
import { drain, entries, holderOf, LONG, newKey, numbered, own, ROOMY, type StoreContext } from './fixtures.ts';

export function describeConcurrency(context: StoreContext): void {
  describe('many at once', () => {
    it('keep the order of each key while all append', async () => {
      const { store } = context;
      const leases = await Promise.all(Array.from({ length: 20 }, () => own(store)));
      const rounds = numbered(10, 'round');
      await Promise.all(
        leases.map(async (lease) => {
          for (const round of rounds) await store.inbound.append(lease, 1, entries(numbered(5, round)), ROOMY);
        }),
      );
      const expected = rounds.flatMap((round) => numbered(5, round));
      for (const { key } of leases) expect(await drain(store, key)).toEqual(expected);
    });

    it('lose nothing while readers remove', async () => {
      const { store } = context;
      const lease = await own(store);
      const texts = numbered(400);
      const taken: string[] = [];
      const append = async () => {
        for (let from = 0; from < texts.length; from += 10) {
          await store.inbound.append(lease, 1, entries(texts.slice(from, from + 10)), ROOMY);
        }
      };
      const remove = async () => {
        while (taken.length < texts.length) {
          const { messages } = await store.queues.read(lease.key, null, 7);
          const last = messages.at(-1);
          if (last === undefined) {
            await setImmediate();
            continue;
          }
          expect(await store.queues.removeThrough(lease.key, last.position)).toBe(messages.length);
          taken.push(...messages.map(({ message }) => Buffer.from(message.payload).toString()));
        }
      };
      await Promise.all([append(), remove()]);
      expect(taken).toEqual(texts);
      expect(await store.queues.stats(lease.key)).toEqual({ depth: 0, bytes: 0, dropped: 0 });
    });

    it('do not fail with the one among them that is refused', async () => {
      const { store } = context;
      const [mine, lost] = [await own(store), await own(store)];
      await store.leases.release(lost);
      await store.leases.acquire(lost.key, holderOf('node-b'), LONG);
      const results = await Promise.allSettled([
        store.inbound.append(mine, 1, entries(['1']), ROOMY),
        store.inbound.append(lost, 1, entries(['2']), ROOMY),
        store.inbound.saveStatus(mine, { state: 'online' }),
        store.inbound.saveStatus(lost, { state: 'stale' }),
        store.queues.removeEach(newKey(), []),
      ]);
      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
      expect(results[1]).toMatchObject({ reason: expect.any(StaleEpoch) });
      expect(await drain(store, mine.key)).toEqual(['1']);
      expect(await store.inbound.loadSession(lost.key)).toBeNull();
    });
  });
}
