import { describe, expect, it } from 'vitest';
import type { Position } from '../../../src/bridge/ports.ts';
import { until } from '../../helpers/until.ts';
import {
  drain,
  entries,
  filled,
  newKey,
  numbered,
  positionAt,
  positionsOf,
  ROOMY,
  type StoreContext,
  textsOf,
} from './fixtures.ts';

export function describeQueues(context: StoreContext): void {
  describe('a queue', () => {
    it('is empty for a key that nothing was stored under', async () => {
      const { queues } = context.store;
      const key = newKey();
      expect(await queues.read(key, null, 10)).toEqual({ messages: [], remaining: 0 });
      expect(await queues.stats(key)).toEqual({ depth: 0, bytes: 0, dropped: 0 });
      expect(await queues.removeEach(key, [])).toBe(0);
    });

    it('is read without removing, up to a limit, after a position, and tells exactly what remains', async () => {
      const { queues } = context.store;
      const { key } = await filled(context.store, numbered(10));
      const first = await queues.read(key, null, 4);
      expect(textsOf(first)).toEqual(['m0', 'm1', 'm2', 'm3']);
      expect(first.remaining).toBe(6);
      const second = await queues.read(key, positionAt(first, -1), 4);
      expect(textsOf(second)).toEqual(['m4', 'm5', 'm6', 'm7']);
      expect(second.remaining).toBe(2);
      const third = await queues.read(key, positionAt(second, -1), 4);
      expect(textsOf(third)).toEqual(['m8', 'm9']);
      expect(third.remaining).toBe(0);
      expect(await queues.read(key, positionAt(third, -1), 4)).toEqual({ messages: [], remaining: 0 });
      expect(await queues.read(key, null, 4)).toEqual(first);
      expect(await queues.read(key, null, 10)).toMatchObject({ remaining: 0 });
      expect((await queues.stats(key)).depth).toBe(10);
    });

    it('shows the same to every instance', async () => {
      const { key } = await filled(context.store, numbered(3));
      expect(await context.other.queues.read(key, null, 2)).toEqual(await context.store.queues.read(key, null, 2));
      expect(await context.other.queues.stats(key)).toEqual(await context.store.queues.stats(key));
    });

    it('is removed up to and including a position, once', async () => {
      const { queues } = context.store;
      const { key } = await filled(context.store, numbered(10));
      const page = await queues.read(key, null, 10);
      expect(await queues.removeThrough(key, positionAt(page, 3))).toBe(4);
      expect(await queues.removeThrough(key, positionAt(page, 3))).toBe(0);
      expect(await queues.removeThrough(key, positionAt(page, 1))).toBe(0);
      expect(textsOf(await queues.read(key, null, 10))).toEqual(numbered(10).slice(4));
      expect(textsOf(await queues.read(key, positionAt(page, 0), 2))).toEqual(['m4', 'm5']);
      expect(await queues.removeThrough(key, positionAt(page, 9))).toBe(6);
      expect(await queues.stats(key)).toEqual({ depth: 0, bytes: 0, dropped: 0 });
    });

    it('is removed one by one, and counts what remains despite the gaps', async () => {
      const { queues } = context.store;
      const { key } = await filled(context.store, numbered(10));
      const positions = positionsOf(await queues.read(key, null, 10));
      const some = [5, 1, 2, 9].map((index) => positions[index] as Position);
      expect(await queues.removeEach(key, some)).toBe(4);
      expect(await queues.removeEach(key, some)).toBe(0);
      expect(await queues.removeEach(key, positions.slice(5, 7))).toBe(1);
      expect(await drain(context.store, key, 2)).toEqual(['m0', 'm3', 'm4', 'm7', 'm8']);
      const remaining = [];
      for (const position of positions) remaining.push((await queues.read(key, position, 0)).remaining);
      expect(remaining).toEqual([4, 4, 4, 3, 2, 2, 2, 1, 0, 0]);
      expect((await queues.read(key, null, 2)).remaining).toBe(3);
      expect((await queues.read(key, positions[1] as Position, 2)).remaining).toBe(2);
      expect(await queues.removeThrough(key, positions[7] as Position)).toBe(4);
      expect(await queues.stats(key)).toMatchObject({ depth: 1, dropped: 0 });
    });

    it('keeps its depth and bytes in step with what is in it', async () => {
      const { queues } = context.store;
      const { key } = await filled(context.store, ['x'.repeat(1_000)]);
      const one = await queues.stats(key);
      expect(one.depth).toBe(1);
      expect(one.bytes).toBeGreaterThanOrEqual(1_000);
      const lease = await filled(
        context.store,
        Array.from({ length: 5 }, () => 'x'.repeat(1_000)),
      );
      expect(await queues.stats(lease.key)).toEqual({ depth: 5, bytes: 5 * one.bytes, dropped: 0 });
      const page = await queues.read(lease.key, null, 5);
      await queues.removeEach(lease.key, [positionAt(page, 2)]);
      expect(await queues.stats(lease.key)).toEqual({ depth: 4, bytes: 4 * one.bytes, dropped: 0 });
      await queues.removeThrough(lease.key, positionAt(page, 1));
      expect(await queues.stats(lease.key)).toEqual({ depth: 2, bytes: 2 * one.bytes, dropped: 0 });
    });

    it('never gives a position twice, even after it was emptied', async () => {
      const { store } = context;
      const lease = await filled(store, ['a', 'b']);
      const before = positionsOf(await store.queues.read(lease.key, null, 10));
      await store.queues.removeThrough(lease.key, before[1] as Position);
      await store.inbound.append(lease, 1, entries(['c']), ROOMY);
      const after = await store.queues.read(lease.key, before[1] as Position, 10);
      expect(textsOf(after)).toEqual(['c']);
      expect(before).not.toContain(positionAt(after, 0));
      expect(await store.queues.removeThrough(lease.key, before[1] as Position)).toBe(0);
      expect(await store.queues.removeEach(lease.key, before)).toBe(0);
    });

    it('knows its positions and their order', async () => {
      const { queues } = context.store;
      const { key } = await filled(context.store, numbered(120));
      const positions = positionsOf(await queues.read(key, null, 120));
      expect(new Set(positions).size).toBe(120);
      for (const position of positions) expect(queues.isPosition(position)).toBe(true);
      for (const text of [
        '',
        ' ',
        'x',
        '-1',
        '1e3',
        '../x',
        'NaN',
        ' 1',
        '1 ',
        '9'.repeat(400),
        '0x1',
        '+',
        '-',
        '$',
        '*',
      ]) {
        expect(queues.isPosition(text), text).toBe(false);
      }
      const [first, second] = positions as [Position, Position];
      expect(queues.compare(first, second)).toBeLessThan(0);
      expect(queues.compare(second, first)).toBeGreaterThan(0);
      expect(queues.compare(first, first)).toBe(0);
      expect([...positions].reverse().sort(queues.compare.bind(queues))).toEqual(positions);
    });

    it('wakes who watches, whichever instance appended, until they stop', async () => {
      const { store, other } = context;
      const lease = await filled(store, []);
      const calls = { here: 0, there: 0, stopped: 0 };
      const stops = [
        store.queues.watch(lease.key, () => calls.here++),
        other.queues.watch(lease.key, () => calls.there++),
      ];
      const stop = store.queues.watch(lease.key, () => calls.stopped++);
      stop();
      stop();
      await store.inbound.append(lease, 1, entries(['1']), ROOMY);
      await until(() => calls.here > 0 && calls.there > 0, { what: 'both watchers are woken' });
      const seen = { ...calls };
      await other.inbound.append(lease, 1, entries(['2']), ROOMY);
      await until(() => calls.here > seen.here && calls.there > seen.there, { what: 'both are woken again' });
      expect(calls.stopped).toBe(0);
      for (const end of stops) end();
      const after = { ...calls };
      const last = { woken: false };
      const stopLast = store.queues.watch(lease.key, () => {
        last.woken = true;
      });
      await store.inbound.append(lease, 1, entries(['3']), ROOMY);
      await until(() => last.woken, { what: 'the last watcher is woken' });
      stopLast();
      expect(calls).toEqual(after);
    });

    it('lets a watcher see the message that woke it', async () => {
      const { store, other } = context;
      const lease = await filled(store, []);
      const { promise, resolve } = Promise.withResolvers<void>();
      const stop = other.queues.watch(lease.key, () => {
        void other.queues.read(lease.key, null, 10).then((page) => page.messages.length > 0 && resolve());
      });
      await store.inbound.append(lease, 1, entries(['1']), ROOMY);
      await promise;
      stop();
    });
  });
}
