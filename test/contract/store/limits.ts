import { describe, expect, it } from 'vitest';
import { drain, entries, filled, newMessage, numbered, own, ROOMY, type StoreContext, textsOf } from './fixtures.ts';

export function describeLimits(context: StoreContext): void {
  describe('the limits of a queue', () => {
    it('drop the oldest messages above maxMessages, counted', async () => {
      const { store } = context;
      const limits = { ...ROOMY, maxMessages: 5 };
      const lease = await filled(store, numbered(4), limits);
      const append = (prefix: string, count: number) =>
        store.inbound.append(lease, 1, entries(numbered(count, prefix)), limits);
      expect(await append('n', 3)).toMatchObject({ stored: 3, dropped: 2 });
      expect(await drain(store, lease.key)).toEqual(['m2', 'm3', 'n0', 'n1', 'n2']);
      expect(await append('o', 8)).toMatchObject({ stored: 8, dropped: 8 });
      const page = await store.queues.read(lease.key, null, 3);
      expect(textsOf(page)).toEqual(['o3', 'o4', 'o5']);
      expect(page.remaining).toBe(2);
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 5, dropped: 10 });
    });

    it('drop the oldest messages above maxBytes, counted', async () => {
      const { store } = context;
      const lease = await own(store);
      const limits = { ...ROOMY, maxBytes: 5_500 };
      const texts = numbered(8).map((text) => text.padEnd(1_000));
      expect(await store.inbound.append(lease, 1, entries(texts), limits)).toMatchObject({ stored: 8, dropped: 3 });
      expect(await drain(store, lease.key)).toEqual(texts.slice(3));
      const stats = await store.queues.stats(lease.key);
      expect(stats).toMatchObject({ depth: 5, dropped: 3 });
      expect(stats.bytes).toBeLessThanOrEqual(5_500);
    });

    it('hold for a queue that was longer before', async () => {
      const { store } = context;
      const lease = await filled(store, numbered(300));
      const limits = { ...ROOMY, maxMessages: 2 };
      expect(await store.inbound.append(lease, 1, entries(['last']), limits)).toMatchObject({
        stored: 1,
        dropped: 299,
      });
      expect(await drain(store, lease.key)).toEqual(['m299', 'last']);
    });

    it('count gaps left by single removals as free', async () => {
      const { store } = context;
      const limits = { ...ROOMY, maxMessages: 4 };
      const lease = await filled(store, numbered(4), limits);
      const { messages } = await store.queues.read(lease.key, null, 4);
      await store.queues.removeEach(
        lease.key,
        messages.slice(1, 3).map(({ position }) => position),
      );
      expect(await store.inbound.append(lease, 1, entries(['a', 'b', 'c']), limits)).toMatchObject({
        stored: 3,
        dropped: 1,
      });
      expect(await drain(store, lease.key)).toEqual(['m3', 'a', 'b', 'c']);
    });

    it('drop messages that are older than maxAge, counted, and show none of them meanwhile', async () => {
      const { store } = context;
      const limits = { ...ROOMY, maxAge: 1 };
      const lease = await filled(store, ['old', 'old too'], limits);
      expect(await drain(store, lease.key)).toEqual(['old', 'old too']);
      await context.elapse(1_100, async () => (await drain(store, lease.key)).length === 0);
      expect(await store.inbound.append(lease, 1, entries(['new']), limits)).toMatchObject({ stored: 1 });
      expect(await drain(store, lease.key)).toEqual(['new']);
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 1, dropped: 2 });
    });

    it('hold for the age of messages that were stored under a longer maxAge', async () => {
      const { store } = context;
      const lease = await filled(store, ['old', 'old too']);
      const witness = await filled(store, ['old'], { ...ROOMY, maxAge: 1 });
      await context.elapse(1_100, async () => (await drain(store, witness.key)).length === 0);
      const limits = { ...ROOMY, maxAge: 1 };
      expect(await store.inbound.append(lease, 1, entries(['new']), limits)).toMatchObject({ stored: 1, dropped: 2 });
      expect(await drain(store, lease.key)).toEqual(['new']);
    });

    it('hide a message whose Message Expiry Interval is over, and leave those around it', async () => {
      const { store } = context;
      const lease = await own(store);
      const brief = { properties: { messageExpiryInterval: 1 } };
      const messages = [
        newMessage('a'),
        newMessage('b', brief),
        newMessage('c', { properties: { messageExpiryInterval: 3_600 } }),
        newMessage('d', brief),
        newMessage('e'),
      ];
      const group = messages.map((message) => ({ kind: 'message', message }) as const);
      await store.inbound.append(lease, 1, group, ROOMY);
      expect(await drain(store, lease.key)).toEqual(['a', 'b', 'c', 'd', 'e']);
      await context.elapse(1_100, async () => (await drain(store, lease.key)).length === 3);
      expect(await drain(store, lease.key, 1)).toEqual(['a', 'c', 'e']);
      expect(textsOf(await store.queues.read(lease.key, null, 2))).toEqual(['a', 'c']);
      expect((await store.queues.stats(lease.key)).dropped).toBe(0);
    });

    it('add what the owner let fall to the count', async () => {
      const { store } = context;
      const lease = await filled(store, numbered(3), { ...ROOMY, maxMessages: 1 });
      await store.queues.countDropped(lease, 40);
      await store.queues.countDropped(lease, 0);
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 1, dropped: 42 });
      const empty = await own(store);
      await store.queues.countDropped(empty, 3);
      expect(await store.queues.stats(empty.key)).toEqual({ depth: 0, bytes: 0, dropped: 3 });
    });
  });

  describe('a queue that holds', () => {
    const holding = { ...ROOMY, maxMessages: 3, overflow: 'hold' } as const;

    it('takes what fits, from the front, and the rest once there is room', async () => {
      const { store } = context;
      const lease = await own(store);
      const append = (...texts: string[]) => store.inbound.append(lease, 1, entries(texts), holding);
      expect(await append('a', 'b')).toEqual({ taken: 2, stored: 2, dropped: 0 });
      expect(await append('c', 'd', 'e')).toEqual({ taken: 1, stored: 1, dropped: 0 });
      expect(await append('d', 'e')).toEqual({ taken: 0, stored: 0, dropped: 0 });
      expect(await drain(store, lease.key)).toEqual(['a', 'b', 'c']);
      const { messages } = await store.queues.read(lease.key, null, 2);
      await store.queues.removeThrough(lease.key, messages[1]?.position ?? raise());
      expect(await append('d', 'e')).toEqual({ taken: 2, stored: 2, dropped: 0 });
      expect(await drain(store, lease.key)).toEqual(['c', 'd', 'e']);
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 3, dropped: 0 });
    });

    it('counts bytes, and takes any message when it is empty', async () => {
      const { store } = context;
      const lease = await own(store);
      const limits = { ...holding, maxBytes: 2_500 };
      const long = 'x'.repeat(10_000);
      expect(await store.inbound.append(lease, 1, entries([long, 'b']), limits)).toMatchObject({ taken: 1 });
      expect(await drain(store, lease.key)).toEqual([long]);
      expect(await store.inbound.append(lease, 1, entries(['b']), limits)).toMatchObject({ taken: 0 });
    });

    it('takes releases and what it has already taken, full or not', async () => {
      const { store } = context;
      const lease = await own(store);
      const group = entries(['a', 'b', 'c'], 1);
      expect(await store.inbound.append(lease, 1, group, holding)).toMatchObject({ taken: 3, stored: 3 });
      expect(await store.inbound.append(lease, 1, group, holding)).toMatchObject({ taken: 3, stored: 0 });
      const release = { kind: 'release', packetId: 1 } as const;
      const again = [release, ...entries(['d'], 1)];
      expect(await store.inbound.append(lease, 1, again, holding)).toMatchObject({ taken: 1, stored: 0 });
      // Its release was committed: the identifier is a new message's by now.
      const { messages } = await store.queues.read(lease.key, null, 1);
      await store.queues.removeThrough(lease.key, messages[0]?.position ?? raise());
      expect(await store.inbound.append(lease, 1, entries(['d'], 1), holding)).toMatchObject({ taken: 1, stored: 1 });
    });

    it('lets age make room, counted', async () => {
      const { store } = context;
      const limits = { ...holding, maxAge: 1 };
      const lease = await filled(store, ['a', 'b', 'c'], limits);
      await context.elapse(1_100, async () => (await drain(store, lease.key)).length === 0);
      expect(await store.inbound.append(lease, 1, entries(['d']), limits)).toMatchObject({ taken: 1, stored: 1 });
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 1, dropped: 3 });
    });
  });
}

function raise(): never {
  throw new Error('there is no such message');
}
