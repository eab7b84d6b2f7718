import { describe, expect, it } from 'vitest';
import type { OutboundExchange, Receipt } from '../../../src/bridge/ports.ts';
import { own, type StoreContext } from './fixtures.ts';

function packet(text: string): Uint8Array {
  return Buffer.from(`${text}\0\xff`, 'latin1');
}

/** Exchanges as text: `<packetId> publish <packet>` or `<packetId> release`. */
function told(exchanges: readonly OutboundExchange[]): string[] {
  return exchanges.map(({ packetId, stage, packet: bytes }) =>
    stage === 'publish' ? `${packetId} publish ${Buffer.from(bytes).toString('latin1')}` : `${packetId} release`,
  );
}

/** PUBRECs that say Success. */
function receipts(...packetIds: number[]): Receipt[] {
  return packetIds.map((packetId) => ({ packetId, reasonCode: 0 }));
}

export function describeExchanges(context: StoreContext): void {
  describe('outbound QoS 2 exchanges', () => {
    it('are loaded in the order in which they began, with their packets, by the next owner', async () => {
      const { store } = context;
      const lease = await own(store);
      expect(await store.exchanges.load(lease, 1)).toEqual([]);
      await store.exchanges.begin(lease, 1, [
        { packetId: 9, packet: packet('a') },
        { packetId: 3, packet: packet('b') },
      ]);
      await store.exchanges.begin(lease, 1, [{ packetId: 65_535, packet: packet('c') }]);
      await store.leases.release(lease);
      const next = await own(store, lease.key, 'node-b');
      const expected = ['9 publish a\0\xff', '3 publish b\0\xff', '65535 publish c\0\xff'];
      expect(told(await store.exchanges.load(next, 1))).toEqual(expected);
      expect(told(await store.exchanges.load(next, 1))).toEqual(expected);
    });

    it('keep their place when they are released, and go when they are finished', async () => {
      const { store } = context;
      const lease = await own(store);
      await store.exchanges.begin(
        lease,
        1,
        [1, 2, 3, 4].map((packetId) => ({ packetId, packet: packet('p') })),
      );
      await store.exchanges.release(lease, 1, receipts(3, 1));
      await store.exchanges.release(lease, 1, receipts(1, 77));
      await store.exchanges.finish(lease, [2, 88]);
      await store.exchanges.finish(lease, [2]);
      expect(told(await store.exchanges.load(lease, 1))).toEqual(['1 release', '3 release', '4 publish p\0\xff']);
      await store.exchanges.finish(lease, [1, 3, 4]);
      expect(await store.exchanges.load(lease, 1)).toEqual([]);
    });

    it('keep what PUBREC said, and an identifier that is used anew does not inherit it', async () => {
      const { store } = context;
      const lease = await own(store);
      const begin = (packetId: number) => store.exchanges.begin(lease, 1, [{ packetId, packet: packet('p') }]);
      const codes = async () => (await store.exchanges.load(lease, 1)).map(({ reasonCode }) => reasonCode);
      for (const packetId of [1, 2, 3]) await begin(packetId);
      await store.exchanges.release(lease, 1, [
        { packetId: 1, reasonCode: 0x10 },
        { packetId: 2, reasonCode: 0 },
      ]);
      expect(await codes()).toEqual([0x10, 0, 0]);
      await store.exchanges.release(lease, 1, [{ packetId: 1, reasonCode: 0x10 }]);
      await store.exchanges.finish(lease, [1]);
      await begin(1);
      expect(await codes()).toEqual([0, 0, 0]);
      await store.exchanges.release(lease, 1, receipts(1));
      expect(await codes()).toEqual([0, 0, 0]);
    });

    it('use an identifier anew once it is free, and then come last', async () => {
      const { store } = context;
      const lease = await own(store);
      await store.exchanges.begin(lease, 1, [
        { packetId: 1, packet: packet('first') },
        { packetId: 2, packet: packet('second') },
      ]);
      await store.exchanges.release(lease, 1, receipts(1));
      await store.exchanges.finish(lease, [1]);
      await store.exchanges.begin(lease, 1, [{ packetId: 1, packet: packet('third') }]);
      expect(told(await store.exchanges.load(lease, 1))).toEqual(['2 publish second\0\xff', '1 publish third\0\xff']);
    });

    it('of another generation are not released, and are discarded by a load', async () => {
      const { store } = context;
      const lease = await own(store);
      await store.exchanges.begin(lease, 1, [{ packetId: 1, packet: packet('old') }]);
      await store.exchanges.release(lease, 2, receipts(1));
      expect(told(await store.exchanges.load(lease, 1))).toEqual(['1 publish old\0\xff']);
      await store.exchanges.begin(lease, 2, [{ packetId: 2, packet: packet('new') }]);
      expect(told(await store.exchanges.load(lease, 2))).toEqual(['2 publish new\0\xff']);
      expect(await store.exchanges.load(lease, 1)).toEqual([]);
    });

    it('of one key are not those of another', async () => {
      const { store } = context;
      const [one, two] = [await own(store), await own(store)];
      await store.exchanges.begin(one, 1, [{ packetId: 1, packet: packet('one') }]);
      await store.exchanges.begin(two, 1, [{ packetId: 1, packet: packet('two') }]);
      await store.exchanges.finish(two, [1]);
      expect(told(await store.exchanges.load(one, 1))).toEqual(['1 publish one\0\xff']);
      expect(await store.exchanges.load(two, 1)).toEqual([]);
    });

    it('carry packets of any size', async () => {
      const { store } = context;
      const lease = await own(store);
      const large = Buffer.alloc(1_048_576, 7);
      await store.exchanges.begin(lease, 1, [{ packetId: 1, packet: large.subarray(1) }]);
      const [loaded] = await store.exchanges.load(lease, 1);
      expect(Buffer.compare(loaded?.packet ?? Buffer.alloc(0), large.subarray(1))).toBe(0);
    });
  });
}
