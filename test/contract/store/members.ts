import { describe, expect, it } from 'vitest';
import type { Member, Store } from '../../../src/bridge/ports.ts';
import { LONG, type StoreContext, unique } from './fixtures.ts';

export function describeMembers(context: StoreContext): void {
  describe('members', () => {
    it('are seen by every instance, as they announced themselves last', async () => {
      const { store, other } = context;
      const [one, two] = [newMember(), newMember({ load: 7, open: false })];
      expect(await store.members.announce(one, LONG)).toContainEqual(one);
      expect(await other.members.announce(two, LONG)).toEqual(expect.arrayContaining([one, two]));
      expect(await store.members.list()).toEqual(expect.arrayContaining([one, two]));
      const busier = { ...one, load: 12 };
      await store.members.announce(busier, LONG);
      expect(await entriesOf(other, one)).toEqual([busier]);
    });

    it('are told the same time, which goes on', async () => {
      const { store, other } = context;
      const [first, second] = [await store.members.time(), await other.members.time()];
      expect(Number.isSafeInteger(first)).toBe(true);
      expect(second).toBeGreaterThanOrEqual(first);
      await context.elapse(100, async () => (await store.members.time()) >= first + 100);
    });

    it('have any name, and the process that announced itself last', async () => {
      const { store, other } = context;
      for (const nodeId of [unique('two words'), unique('1 2 3'), unique('é✓'), unique('{"a":')]) {
        const member = newMember({ nodeId });
        await store.members.announce(member, LONG);
        const next = { ...member, process: '2' };
        await store.members.announce(next, LONG);
        expect(await entriesOf(other, member)).toEqual([next]);
      }
    });

    it('are forgotten when they do not announce themselves again in time', async () => {
      const { store, other } = context;
      const [silent, alive] = [newMember(), newMember()];
      await store.members.announce(silent, 300);
      await store.members.announce(alive, 300);
      await store.members.announce(alive, LONG);
      await context.elapse(300, async () => (await entriesOf(other, silent)).length === 0);
      expect(await entriesOf(other, alive)).toEqual([alive]);
      expect(await store.members.announce(silent, LONG)).toEqual(expect.arrayContaining([silent, alive]));
    });

    it('are forgotten when they leave, at once, unless another process of theirs is there', async () => {
      const { store, other } = context;
      const member = newMember();
      await store.members.announce(member, LONG);
      const next = { ...member, process: '2' };
      await other.members.announce(next, LONG);
      await store.members.leave(member);
      expect(await entriesOf(store, member)).toEqual([next]);
      await other.members.leave(next);
      await other.members.leave(next);
      expect(await entriesOf(store, member)).toEqual([]);
    });
  });
}

function newMember(members: Partial<Member> = {}): Member {
  return { nodeId: unique('node'), process: '1', load: 0, open: true, ...members };
}

async function entriesOf(store: Store, { nodeId }: Member): Promise<Member[]> {
  return (await store.members.list()).filter((member) => member.nodeId === nodeId);
}
