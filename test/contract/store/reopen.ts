import { afterEach, describe, expect, it } from 'vitest';
import type { Store } from '../../../src/bridge/ports.ts';
import { until } from '../../helpers/until.ts';
import { drain, entries, filled, newRecord, numbered, own, positionAt, ROOMY, textsOf } from './fixtures.ts';
import { outgoing, UNLIMITED } from './publications.ts';
import { takeAll } from './schedule.ts';

export interface Reopening {
  open(): Promise<Store>;
  reopen(closed: Store): Promise<Store>;
}

export function describeReopen({ open, reopen }: Reopening): void {
  describe('after close and reopen', () => {
    let store: Store | undefined;
    afterEach(() => store?.close());

    /** Closes the store that a test works with and opens it again. */
    async function again(closing: Store): Promise<Store> {
      await closing.close();
      store = await reopen(closing);
      return store;
    }

    it('everything that was stored is there', async () => {
      store = await open();
      const lease = await filled(store, numbered(5), { ...ROOMY, maxMessages: 4 });
      const record = newRecord({ key: lease.key });
      await store.connections.create(record);
      await store.inbound.beginGeneration(lease, { state: 'online' });
      await store.inbound.append(lease, 1, entries(['m5'], 11), ROOMY);
      await store.exchanges.begin(lease, 1, [{ packetId: 1, packet: Buffer.from('one') }]);
      await store.exchanges.begin(lease, 1, [{ packetId: 2, packet: Buffer.from('two') }]);
      await store.exchanges.release(lease, 1, [{ packetId: 1, reasonCode: 0x10 }]);
      const items = ['first', 'second'].map((text) => ({ message: outgoing(text), outcome: null }));
      const members = { idempotencyKey: 'k', fingerprint: 'f', batch: true, queued: true, retentionMs: 86_400_000 };
      await store.publications.begin(lease, { id: 'p', ...members, items }, UNLIMITED);
      await store.publications.settle(lease, [{ item: { publication: 'p', index: 0 }, outcome: 'sent' }]);
      const before = await store.queues.read(lease.key, null, 10);
      const stats = await store.queues.stats(lease.key);

      store = await again(store);

      expect(await store.connections.byId(record.id)).toEqual(record);
      expect(await store.connections.byClientId(record.broker, record.clientId)).toEqual(record);
      expect(await store.inbound.loadSession(lease.key)).toMatchObject({ generation: 1, status: { state: 'online' } });
      expect(await store.queues.read(lease.key, null, 10)).toEqual(before);
      expect(textsOf(before)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']);
      expect(await store.queues.stats(lease.key)).toEqual(stats);
      expect(stats).toMatchObject({ depth: 5, dropped: 1 });
      expect(await store.publications.find(lease.key, { idempotencyKey: 'k' })).toMatchObject({
        id: 'p',
        items: [{ state: 'done', outcome: 'sent' }, { state: 'open' }],
      });
      expect(await store.publications.outbox(lease.key, 0, 9)).toMatchObject([
        { message: { qos: 1 }, item: { index: 1 } },
      ]);
      const owner = await own(store, lease.key);
      expect(await store.exchanges.load(owner, 1)).toMatchObject([
        { packetId: 1, stage: 'release', reasonCode: 0x10 },
        { packetId: 2, stage: 'publish', reasonCode: 0 },
      ]);
      expect(await store.inbound.append(owner, 1, entries(['again'], 11), ROOMY)).toMatchObject({
        stored: 0,
        dropped: 0,
      });
      expect(await store.inbound.beginGeneration(owner, {})).toBe(2);
    });

    it('positions go on where they were, even if the queue was emptied', async () => {
      store = await open();
      const lease = await filled(store, ['a', 'b', 'c']);
      const page = await store.queues.read(lease.key, null, 3);
      const last = positionAt(page, -1);
      await store.queues.removeThrough(lease.key, last);

      store = await again(store);

      const owner = await own(store, lease.key);
      await store.inbound.append(owner, 1, entries(['d']), ROOMY);
      expect(textsOf(await store.queues.read(lease.key, last, 10))).toEqual(['d']);
      expect(await store.queues.removeThrough(lease.key, last)).toBe(0);
      expect(await drain(store, lease.key)).toEqual(['d']);
    });

    it('a Connection of which the schedule says nothing is due, soon', async () => {
      store = await open();
      const record = newRecord();
      await store.connections.create(record);
      // A bridge that crashed here would have said when.

      const reopened = await again(store);

      await until(async () => (await takeAll(reopened, [record.key])).length === 1, { what: 'it is due' });
    });

    it('what was removed stays removed', async () => {
      store = await open();
      const lease = await filled(store, ['a']);
      const record = newRecord({ key: lease.key });
      await store.connections.create(record);
      await store.connections.remove(lease.key);

      store = await again(store);

      expect(await store.connections.byId(record.id)).toBeNull();
      expect(await drain(store, lease.key)).toEqual([]);
    });
  });
}
