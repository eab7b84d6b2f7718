import { describe, expect, it } from 'vitest';
import type { Key, Store } from '../../../src/bridge/ports.ts';
import { LONG, newKey, newRecord, type StoreContext } from './fixtures.ts';

const SHORT = 300;
const AT_ONCE = 1_000;

export function describeSchedule(context: StoreContext): void {
  describe('the schedule', () => {
    it('gives what is due, longest first, and nothing else', async () => {
      const { store, other } = context;
      const [first, second] = [await recorded(store), await recorded(store)];
      const [third, later] = [await recorded(store), await recorded(store)];
      await store.schedule.set([
        { key: second, inMs: -200 },
        { key: later, inMs: LONG },
      ]);
      await other.schedule.set([
        { key: third, inMs: -100 },
        { key: first, inMs: -300 },
      ]);
      expect(await takeAll(store, [first, second, third, later])).toEqual([first, second, third]);
    });

    it('waits for the time', async () => {
      const { store, other } = context;
      const key = await recorded(store);
      await store.schedule.set([{ key, inMs: SHORT }]);
      expect(await takeAll(other, [key])).toEqual([]);
      await context.elapse(SHORT, async () => (await takeAll(other, [key])).length === 1);
    });

    it('tells what will be due by a time, and leaves it as it is', async () => {
      const { store, other } = context;
      const [due, soon, later] = [await recorded(store), await recorded(store), await recorded(store)];
      await store.schedule.set([
        { key: due, inMs: -100 },
        { key: soon, inMs: LONG },
        { key: later, inMs: 3 * LONG },
      ]);
      const told: Key[] = [];
      for await (const keys of other.schedule.upcoming(2 * LONG)) told.push(...keys);
      expect([due, soon, later].filter((key) => told.includes(key))).toEqual([due, soon]);
      expect(await takeAll(other, [due, soon, later])).toEqual([due]);
    });

    it('gives what was taken again after its time, to others too, unless it was said otherwise', async () => {
      const { store, other } = context;
      const [held, moved, removed] = [await recorded(store), await recorded(store), await recorded(store)];
      const keys = [held, moved, removed];
      await store.schedule.set(keys.map((key) => ({ key, inMs: 0 })));
      expect(new Set(await takeAll(store, keys, SHORT))).toEqual(new Set(keys));
      await store.schedule.set([{ key: moved, inMs: LONG }]);
      await store.connections.remove(removed);
      await context.elapse(SHORT, async () => (await takeAll(other, [held])).length === 1);
      expect(await takeAll(other, keys)).toEqual([]);
    });

    it('keeps what was said last, and forgets what is cancelled', async () => {
      const { store, other } = context;
      const [sooner, later] = [await recorded(store), await recorded(store)];
      // Without a record, so that no sweep brings it back meanwhile.
      const cancelled = newKey();
      await store.schedule.set([sooner, later, cancelled].map((key) => ({ key, inMs: 0 })));
      await other.schedule.set([{ key: later, inMs: LONG }]);
      await other.schedule.cancel([cancelled, newKey()]);
      await other.schedule.cancel([cancelled]);
      expect(await takeAll(store, [sooner, later, cancelled])).toEqual([sooner]);
      await store.schedule.set([]);
      await store.schedule.cancel([]);
    });

    it('gives at most as many as asked for, and no two callers the same', async () => {
      const { store, other } = context;
      const keys = await severalRecorded(store, 300);
      await store.schedule.set(keys.map((key) => ({ key, inMs: 0 })));
      const taken: Key[] = [];
      const takeUntilNone = async (from: Store, limit: number) => {
        for (;;) {
          const some = await from.schedule.take(limit, LONG);
          expect(some.length).toBeLessThanOrEqual(limit);
          if (some.length === 0) return;
          taken.push(...some);
        }
      };
      await Promise.all([
        takeUntilNone(store, 1),
        takeUntilNone(other, 7),
        takeUntilNone(store, 64),
        takeUntilNone(other, 100),
      ]);
      expect(new Set(taken).size).toBe(taken.length);
      expect(keys.filter((key) => !taken.includes(key))).toEqual([]);
    });

    it('fills a page as long as there is enough that is due', async () => {
      const { store } = context;
      const keys = await severalRecorded(store, 150);
      await store.schedule.set(keys.map((key) => ({ key, inMs: 0 })));
      for (const limit of [1, 50, 64, 99]) expect(await store.schedule.take(limit, 0)).toHaveLength(limit);
      expect(await store.schedule.take(0, LONG)).toEqual([]);
      await takeAll(store, keys);
    });

    it('says nothing of a record that was removed', async () => {
      const { store, other } = context;
      const key = await recorded(store);
      await store.schedule.set([{ key, inMs: 0 }]);
      await store.connections.remove(key);
      expect(await takeAll(other, [key])).toEqual([]);
    });
  });
}

/** A key with a record: a sweep removes the entries of others. */
async function recorded(store: Store): Promise<Key> {
  const record = newRecord();
  await store.connections.create(record);
  return record.key;
}

function severalRecorded(store: Store, count: number): Promise<Key[]> {
  return Promise.all(Array.from({ length: count }, () => recorded(store)));
}

/** Takes all that is due; answers which of these were among it, in their order. */
export async function takeAll(store: Store, keys: readonly Key[], holdMs = LONG): Promise<Key[]> {
  const taken: Key[] = [];
  for (;;) {
    const some = await store.schedule.take(AT_ONCE, holdMs);
    taken.push(...some);
    if (some.length < AT_ONCE) return taken.filter((key) => keys.includes(key));
  }
}
