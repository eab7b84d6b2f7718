import { describe, expect, it, vi } from 'vitest';
import { type Epoch, type Key, StaleEpoch } from '../../../src/bridge/ports.ts';
import { until } from '../../helpers/until.ts';
import { holderOf, LONG, newKey, own, type StoreContext } from './fixtures.ts';

const SHORT = 300;

export function describeLeases(context: StoreContext): void {
  describe('leases', () => {
    it('are held by one holder at a time, as every instance sees', async () => {
      const { store, other } = context;
      const key = newKey();
      expect(await store.leases.holder(key)).toBeNull();
      const lease = await own(store, key, 'node-a');
      expect(lease).toEqual({ key, holder: holderOf('node-a'), epoch: lease.epoch });
      expect(await other.leases.acquire(key, holderOf('node-b'), LONG)).toEqual({ heldBy: 'node-a' });
      expect(await other.leases.holder(key)).toBe('node-a');
    });

    it('is confirmed to whoever has it, although others stand in line', async () => {
      const { store, other } = context;
      const key = newKey();
      const first = await store.leases.acquire(key, holderOf('node-a'), LONG, LONG);
      expect(await other.leases.acquire(key, holderOf('node-b'), LONG, LONG)).toEqual({ heldBy: 'node-a' });
      expect(await store.leases.acquire(key, holderOf('node-a'), LONG, LONG)).toEqual(first);
    });

    it('are given back unless somebody stands in line: then they stay, until they are given back to whoever waits', async () => {
      const { store, other } = context;
      const lease = await own(store);
      expect(await store.leases.releaseUnlessAwaited(lease)).toBe(true);
      expect(await store.leases.holder(lease.key)).toBeNull();

      const again = await own(store, lease.key);
      await other.leases.acquire(lease.key, holderOf('node-b'), LONG, LONG);
      const isAwaited = await store.leases.isAwaited(lease.key);
      expect(await store.leases.releaseUnlessAwaited(again)).toBe(!isAwaited);
      expect(await store.leases.holder(lease.key)).toBe(isAwaited ? again.holder.nodeId : null);
      await store.leases.release(again);
      expect(await other.leases.acquire(lease.key, holderOf('node-b'), LONG, LONG)).toMatchObject({ key: lease.key });
    });

    it('tell the first in line when they are given back, and only that one', async () => {
      const { store, other } = context;
      const lease = await own(store);
      const [first, second] = [holderOf('node-b'), holderOf('node-c')];
      const told: string[] = [];
      const ends = [first, second].map((holder) =>
        other.leases.watchTurn(lease.key, holder, () => told.push(holder.nodeId)),
      );
      for (const holder of [first, second]) await other.leases.acquire(lease.key, holder, LONG, LONG);
      // Where nobody can stand in line nobody is told.
      if (await store.leases.isAwaited(lease.key)) {
        await until(() => told.length === 2, { what: 'both are told that they are heard' });
        await store.leases.release(lease);
        await until(() => told.length === 3, { what: 'the first is told' });
        const theirs = await other.leases.acquire(lease.key, first, LONG, LONG);
        if ('heldBy' in theirs) throw new Error('it was not its turn');
        await store.leases.release(theirs);
        await until(() => told.length === 4, { what: 'the second is told' });
        expect(told.slice(2)).toEqual(['node-b', 'node-c']);
      }
      for (const end of ends) end();
    });

    it('go to the next as soon as the first in line has given up, whose turn it may have been already', async () => {
      const { store, other } = context;
      const [first, second, third] = [holderOf('node-b'), holderOf('node-c'), holderOf('node-d')];
      const lease = await own(store);
      for (const holder of [first, second, third]) await other.leases.acquire(lease.key, holder, LONG, LONG);
      await other.leases.leaveLine(lease.key, first);
      await store.leases.release(lease);
      const turns = vi.fn();
      const end = other.leases.watchTurn(lease.key, third, turns);
      if (await store.leases.isAwaited(lease.key)) {
        await until(() => turns.mock.calls.length === 1, { what: 'the third is told that it is heard' });
        // It is the turn of the second, which gives up too.
        expect(await other.leases.acquire(lease.key, third, LONG, LONG)).toEqual({ heldBy: '' });
        await store.leases.leaveLine(lease.key, second);
        await until(() => turns.mock.calls.length === 2, { what: 'the third is told that it is its turn' });
      }
      end();
      expect(await other.leases.acquire(lease.key, third, LONG, LONG)).toMatchObject({ key: lease.key });
    });

    it('keep the place in the line of a process in which one request gives up, and another one waits', async () => {
      const { store, other } = context;
      const [first, second] = [holderOf('node-b'), holderOf('node-c')];
      const lease = await own(store);
      for (const holder of [first, second]) await other.leases.acquire(lease.key, holder, LONG, LONG);
      const end = other.leases.watchTurn(lease.key, first, () => undefined);
      await other.leases.leaveLine(lease.key, first);
      end();
      const canWait = await store.leases.isAwaited(lease.key);
      await store.leases.release(lease);
      if (canWait) expect(await other.leases.acquire(lease.key, second, LONG, LONG)).toEqual({ heldBy: '' });
      expect(await other.leases.acquire(lease.key, first, LONG, LONG)).toMatchObject({ key: lease.key });
    });

    it('pass over whoever stood in line and asks no more', async () => {
      const { store, other } = context;
      const lease = await own(store);
      await other.leases.acquire(lease.key, holderOf('node-b'), LONG, 200);
      await other.leases.acquire(lease.key, holderOf('node-c'), LONG, LONG);
      await store.leases.release(lease);
      const isTheirs = async () => 'epoch' in (await other.leases.acquire(lease.key, holderOf('node-c'), LONG, LONG));
      await context.elapse(200, isTheirs);
    });

    it('have one winner when many ask at the same time', async () => {
      const key = newKey();
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          (index % 2 === 0 ? context.store : context.other).leases.acquire(key, holderOf(`node-${index}`), LONG),
        ),
      );
      const winners = answers.filter((answer) => 'epoch' in answer);
      expect(winners).toHaveLength(1);
      const holder = await context.store.leases.holder(key);
      expect(winners[0]).toMatchObject({ holder: { nodeId: holder } });
      expect(answers.filter((answer) => 'heldBy' in answer && answer.heldBy === holder)).toHaveLength(7);
    });

    it('keep their epoch when the holder asks again', async () => {
      const lease = await own(context.store);
      expect(await own(context.store, lease.key)).toEqual(lease);
    });

    it('go to the next process of an instance at once, and its predecessor can write no more', async () => {
      const { store, other } = context;
      const frozen = await own(store);
      const next = await other.leases.acquire(frozen.key, holderOf('node-a', '2'), LONG);
      if ('heldBy' in next) throw new Error('not taken over');
      expect(next.epoch).not.toBe(frozen.epoch);
      await expect(store.inbound.saveStatus(frozen, {})).rejects.toThrow(StaleEpoch);
      expect(await store.leases.renew([frozen, next], LONG)).toMatchObject({ lost: new Set([frozen.key]) });
      await other.inbound.saveStatus(next, { state: 'online' });
      expect(await store.leases.acquire(frozen.key, holderOf('node-b'), LONG)).toEqual({ heldBy: 'node-a' });
      expect(await store.leases.holder(frozen.key)).toBe('node-a');
    });

    it('differ in epoch between processes of an instance, after release too', async () => {
      const { store } = context;
      const first = await own(store);
      await store.leases.release(first);
      const second = await store.leases.acquire(first.key, holderOf('node-a', '2'), LONG);
      const third = await store.leases.acquire(first.key, holderOf('node-a'), LONG);
      expect(new Set([first, second, third].map((lease) => 'epoch' in lease && lease.epoch)).size).toBe(3);
    });

    it('are of instances whatever their names', async () => {
      for (const nodeId of ['two words', '1:2:3', 'é✓', ' ']) {
        const { key } = await own(context.store, newKey(), nodeId);
        expect(await context.other.leases.holder(key)).toBe(nodeId);
        expect(await context.other.leases.acquire(key, holderOf('node-b'), LONG)).toEqual({ heldBy: nodeId });
      }
    });

    it('are longer after the holder asked again', async () => {
      const lease = await own(context.store, newKey(), 'node-a', SHORT);
      const witness = await own(context.store, newKey(), 'node-a', SHORT);
      await own(context.store, lease.key, 'node-a', LONG);
      await expired(context, witness.key);
      expect(await context.store.leases.holder(lease.key)).toBe('node-a');
    });

    it('differ in epoch between holders, and between keys', async () => {
      const { store } = context;
      const first = await own(store);
      await store.leases.release(first);
      const second = await own(store, first.key, 'node-b');
      await store.leases.release(second);
      const third = await own(store, first.key, 'node-a');
      expect(new Set([first.epoch, second.epoch, third.epoch]).size).toBe(3);
    });

    it('give the same holder its epoch back after release, if nobody was between', async () => {
      const lease = await own(context.store);
      await context.store.leases.release(lease);
      expect(await context.store.leases.holder(lease.key)).toBeNull();
      expect(await own(context.store, lease.key)).toEqual(lease);
    });

    it('end by their time: others may have them then, and the epoch is another', async () => {
      const { store } = context;
      const lease = await own(store, newKey(), 'node-a', SHORT);
      await expired(context, lease.key);
      const taken = await own(store, lease.key, 'node-b');
      expect(taken.epoch).not.toBe(lease.epoch);
      expect(await store.leases.acquire(lease.key, holderOf('node-a'), LONG)).toEqual({ heldBy: 'node-b' });
    });

    it('come back to the same holder with the same epoch after their time, if nobody was between', async () => {
      const lease = await own(context.store, newKey(), 'node-a', SHORT);
      await expired(context, lease.key);
      expect(await own(context.store, lease.key)).toEqual(lease);
    });

    it('are renewed many at once, and the lost ones are told', async () => {
      const { store } = context;
      const held = await Promise.all(Array.from({ length: 50 }, () => own(store, newKey(), 'node-a', SHORT)));
      const released = await own(store);
      await store.leases.release(released);
      const lapsed = await own(store, newKey(), 'node-a', 1);
      await expired(context, lapsed.key);
      const unknown = { key: newKey(), epoch: 'never-issued' as Epoch };
      // The wait above may have outlasted the short leases.
      await Promise.all(held.map(({ key }) => own(store, key, 'node-a', SHORT)));

      const keysOf = (leases: readonly { readonly key: Key }[]) => new Set(leases.map(({ key }) => key));
      expect(await store.leases.renew([...held, released, lapsed, unknown], LONG)).toEqual({
        renewed: keysOf(held),
        lost: keysOf([released, lapsed, unknown]),
      });
      const witness = await own(store, newKey(), 'node-a', SHORT);
      await expired(context, witness.key);
      for (const { key } of held) expect(await store.leases.holder(key)).toBe('node-a');
      expect(await store.leases.holder(released.key)).toBeNull();
      expect(await store.leases.renew([], LONG)).toEqual({ renewed: new Set(), lost: new Set() });
    });

    it('are left alone by who no longer has them', async () => {
      const { store } = context;
      const first = await own(store);
      await store.leases.release(first);
      const second = await own(store, first.key, 'node-b');
      await store.leases.release(first);
      expect(await store.leases.renew([first], LONG)).toMatchObject({ lost: new Set([first.key]) });
      expect(await store.leases.holder(first.key)).toBe('node-b');
      await store.leases.release(second);
      await store.leases.release(second);
      expect(await store.leases.holder(first.key)).toBeNull();
    });
  });
}

async function expired(context: StoreContext, key: ReturnType<typeof newKey>): Promise<void> {
  await context.elapse(SHORT, async () => (await context.store.leases.holder(key)) === null);
}
