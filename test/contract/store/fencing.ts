import { describe, expect, it } from 'vitest';
import { type Epoch, type Fence, type NewPublication, StaleEpoch, type Store } from '../../../src/bridge/ports.ts';
import { drain, entries, newKey, own, ROOMY, type StoreContext } from './fixtures.ts';
import { UNLIMITED } from './publications.ts';

function publication(id: string): NewPublication {
  const message = { topic: 't', payload: Buffer.from(id), qos: 1, retain: false } as const;
  const items = [{ message, outcome: null }];
  return { id, idempotencyKey: id, fingerprint: id, batch: false, queued: true, items, retentionMs: 600_000 };
}

/** Every write that only the owner may make. */
const FENCED: Readonly<Record<string, (store: Store, fence: Fence) => Promise<unknown>>> = {
  saveStatus: (store, fence) => store.inbound.saveStatus(fence, { state: 'stale' }),
  beginGeneration: (store, fence) => store.inbound.beginGeneration(fence, { state: 'stale' }),
  append: (store, fence) => store.inbound.append(fence, 1, entries(['stale']), ROOMY),
  countDropped: (store, fence) => store.queues.countDropped(fence, 7),
  'exchanges.begin': (store, fence) => store.exchanges.begin(fence, 1, [{ packetId: 2, packet: Buffer.from('stale') }]),
  'exchanges.release': (store, fence) => store.exchanges.release(fence, 1, [{ packetId: 1, reasonCode: 0 }]),
  'exchanges.finish': (store, fence) => store.exchanges.finish(fence, [1]),
  'exchanges.load': (store, fence) => store.exchanges.load(fence, 99),
  'publications.begin': (store, fence) => store.publications.begin(fence, publication('stale'), UNLIMITED),
  'publications.settle': (store, fence) =>
    store.publications.settle(fence, [{ item: { publication: 'kept', index: 0 }, outcome: 'stale' }]),
};

export function describeFencing(context: StoreContext): void {
  describe.each(Object.entries(FENCED))('%s', (_name, write) => {
    it('is refused, and changes nothing, once another holds the lease', async () => {
      const { store } = context;
      const stale = await withState(store);
      await store.leases.release(stale);
      const owner = await own(store, stale.key, 'node-b');
      await expect(write(store, stale)).rejects.toThrow(StaleEpoch);
      await expectUntouched(store, owner);
    });

    it('is refused after release and after the lease time, although nobody took it', async () => {
      const { store } = context;
      const lease = await withState(store);
      await store.leases.release(lease);
      await expect(write(store, lease)).rejects.toThrow(StaleEpoch);
      await own(store, lease.key, 'node-a', 200);
      await context.elapse(200, async () => (await store.leases.holder(lease.key)) === null);
      await expect(write(store, lease)).rejects.toThrow(StaleEpoch);
      await expectUntouched(store, await own(store, lease.key));
    });

    it('is refused for an epoch that was never issued, and for a key without a lease', async () => {
      const { store } = context;
      const lease = await withState(store);
      await expect(write(store, { key: lease.key, epoch: '0' as Epoch })).rejects.toThrow(StaleEpoch);
      await expect(write(store, { key: newKey(), epoch: lease.epoch })).rejects.toThrow(StaleEpoch);
      await expectUntouched(store, lease);
    });

    it('is accepted from the owner', async () => {
      const lease = await withState(context.store);
      await expect(write(context.store, lease)).resolves.not.toThrow();
    });
  });
}

async function withState(store: Store) {
  const lease = await own(store);
  await store.inbound.beginGeneration(lease, { state: 'online' });
  await store.inbound.append(lease, 1, entries(['kept']), ROOMY);
  await store.exchanges.begin(lease, 1, [{ packetId: 1, packet: Buffer.from('kept') }]);
  await store.publications.begin(lease, publication('kept'), UNLIMITED);
  return lease;
}

async function expectUntouched(store: Store, owner: Fence): Promise<void> {
  expect(await store.inbound.loadSession(owner.key)).toEqual({ schema: 1, generation: 1, status: { state: 'online' } });
  expect(await drain(store, owner.key)).toEqual(['kept']);
  expect(await store.queues.stats(owner.key)).toMatchObject({ depth: 1, dropped: 0 });
  expect(await store.exchanges.load(owner, 1)).toMatchObject([{ packetId: 1, stage: 'publish' }]);
  expect(await store.publications.outbox(owner.key, 0, 10)).toMatchObject([
    { item: { publication: 'kept', index: 0 } },
  ]);
  expect(await store.publications.find(owner.key, { idempotencyKey: 'stale' })).toBeNull();
}
