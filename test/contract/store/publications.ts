import { describe, expect, it } from 'vitest';
import type {
  Fence,
  NewPublication,
  Publication,
  PublicationItem,
  PublicationLimits,
  Store,
} from '../../../src/bridge/ports.ts';
import type { OutgoingMessage } from '../../../src/mqtt/message.ts';
import { newKey, own, type StoreContext, unique } from './fixtures.ts';

const DAY = 86_400_000;
/** More than any test fills. */
export const UNLIMITED: PublicationLimits = {
  outboxMessages: 10_000,
  outboxBytes: 64 * 1024 * 1024,
  publications: 10_000,
  publicationBytes: 64 * 1024 * 1024,
};

export function outgoing(text: string, more: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return { topic: 'plant/7/cmd', payload: Buffer.from(text), qos: 1, retain: false, ...more };
}

/** A queued publication of these messages. */
function queued(texts: readonly string[], more: Partial<NewPublication> = {}): NewPublication {
  const items = texts.map((text) => ({ message: outgoing(text), outcome: null }));
  return { ...direct(0), queued: true, items, ...more };
}

/** One that its caller waits for. */
function direct(count: number, more: Partial<NewPublication> = {}): NewPublication {
  const items = Array.from({ length: count }, () => ({ message: null, outcome: null }));
  const members = { idempotencyKey: null, fingerprint: 'f', batch: true, queued: false, retentionMs: DAY };
  return { id: unique('p'), ...members, items, ...more };
}

function itemsOf({ id, items }: Pick<NewPublication, 'id' | 'items'>): PublicationItem[] {
  return items.map((_, index) => ({ publication: id, index }));
}

async function stored(store: Store, fence: Fence, publication: NewPublication): Promise<PublicationItem[]> {
  expect(await store.publications.begin(fence, publication, UNLIMITED)).toBe('begun');
  return itemsOf(publication);
}

async function states(store: Store, { key }: Fence, id: string): Promise<string[]> {
  const found = await store.publications.find(key, { id });
  return found?.items.map((item) => (item.state === 'done' ? `done ${item.outcome}` : item.state)) ?? [];
}

async function waiting(store: Store, { key }: Fence, after = 0, limit = 1_000): Promise<string[]> {
  const page = await store.publications.outbox(key, after, limit);
  return page.map(({ message }) => Buffer.from(message.payload).toString());
}

function firstOf<Item>(items: readonly Item[]): Item {
  const [first] = items;
  if (first === undefined) throw new Error('there is none');
  return first;
}

export function describePublications(context: StoreContext): void {
  describe('publications', () => {
    it('are found by id and by idempotency key, from every instance, with what became of their items', async () => {
      const { store, other } = context;
      const lease = await own(store);
      const publication = direct(3, { idempotencyKey: 'order 66 {~}', fingerprint: 'abc', batch: false });
      const [one, , three] = await stored(store, lease, publication);
      if (one === undefined || three === undefined) throw new Error('unreachable');
      await store.publications.settle(lease, [
        { item: three, outcome: '{"qos":1}' },
        { item: one, outcome: 'any text: ü' },
      ]);
      const found = await other.publications.find(lease.key, { id: publication.id });
      expect(found).toEqual({
        id: publication.id,
        idempotencyKey: 'order 66 {~}',
        fingerprint: 'abc',
        batch: false,
        queued: false,
        acceptedAt: expect.any(Number),
        items: [{ state: 'done', outcome: 'any text: ü' }, { state: 'open' }, { state: 'done', outcome: '{"qos":1}' }],
      } satisfies Publication);
      expect(await other.publications.find(lease.key, { idempotencyKey: 'order 66 {~}' })).toEqual(found);
      expect(await other.publications.find(lease.key, { idempotencyKey: 'order 67' })).toBeNull();
      expect(await other.publications.find(newKey(), { id: publication.id })).toBeNull();
      expect(await other.publications.find(newKey(), { idempotencyKey: 'order 66 {~}' })).toBeNull();
    });

    it('with a known idempotency key change nothing, and tell of the one that has it', async () => {
      const { store } = context;
      const [lease, elsewhere] = [await own(store), await own(store)];
      const first = queued(['a'], { idempotencyKey: 'k', fingerprint: 'one' });
      await stored(store, lease, first);
      const second = queued(['b'], { idempotencyKey: 'k', fingerprint: 'two' });
      expect(await store.publications.begin(lease, second, UNLIMITED)).toMatchObject({
        id: first.id,
        fingerprint: 'one',
        items: [{ state: 'open' }],
      });
      expect(await waiting(store, lease)).toEqual(['a']);
      expect(await store.publications.find(lease.key, { id: second.id })).toBeNull();
      await stored(store, elsewhere, second);
    });

    it('keep the first outcome of an item', async () => {
      const { store } = context;
      const lease = await own(store);
      const publication = direct(1);
      const item = firstOf(await stored(store, lease, publication));
      await store.publications.settle(lease, [{ item, outcome: 'first' }]);
      await store.publications.settle(lease, [
        { item, outcome: 'second' },
        { item: { publication: 'nowhere', index: 3 }, outcome: 'x' },
      ]);
      expect(await states(store, lease, publication.id)).toEqual(['done first']);
    });

    it('expire after the time they are kept, which begins when the last item has ended', async () => {
      const { store } = context;
      const lease = await own(store);
      const publication = direct(2, { idempotencyKey: 'k', retentionMs: 400 });
      const [one, two] = await stored(store, lease, publication);
      if (one === undefined || two === undefined) throw new Error('unreachable');
      await store.publications.settle(lease, [{ item: one, outcome: '1' }]);
      await store.publications.settle(lease, [{ item: two, outcome: '2' }]);
      expect(await states(store, lease, publication.id)).toEqual(['done 1', 'done 2']);
      await context.elapse(400, async () => (await states(store, lease, publication.id)).length === 0);
      expect(await store.publications.find(lease.key, { idempotencyKey: 'k' })).toBeNull();
      await stored(store, lease, direct(1, { idempotencyKey: 'k', fingerprint: 'another' }));
    });

    it('that never end expire too, and leave the outbox', async () => {
      const { store } = context;
      const lease = await own(store);
      const publication = queued(['a', 'b'], { retentionMs: 150 });
      await stored(store, lease, publication);
      await context.elapse(300, async () => (await states(store, lease, publication.id)).length === 0);
      const limits = { ...UNLIMITED, outboxMessages: 2, outboxBytes: 1_000 };
      expect(await store.publications.begin(lease, queued(['c', 'd']), limits)).toBe('begun');
      expect(await waiting(store, lease)).toEqual(['c', 'd']);
    });

    it('are so many at most, those that have expired not counted', async () => {
      const { store } = context;
      const lease = await own(store);
      const three = { ...UNLIMITED, publications: 3 };
      const begin = (publication: NewPublication) => store.publications.begin(lease, publication, three);
      expect(await begin(direct(1, { retentionMs: 150 }))).toBe('begun');
      const known = direct(1, { idempotencyKey: 'k' });
      expect(await begin(known)).toBe('begun');
      expect(await begin(queued(['a']))).toBe('begun');
      const refused = queued(['b'], { idempotencyKey: 'refused' });
      expect(await begin(refused)).toBe('full');
      expect(await store.publications.find(lease.key, { idempotencyKey: 'refused' })).toBeNull();
      expect(await waiting(store, lease)).toEqual(['a']);
      expect(await begin(direct(1, { idempotencyKey: 'k' }))).toMatchObject({ id: known.id });
      expect(await store.publications.begin(await own(store), refused, three)).toBe('begun');
      await context.elapse(300, async () => (await begin(refused)) === 'begun');
      expect(await begin(direct(1))).toBe('full');
    });

    it('take so many bytes at most, with what their outcomes may take', async () => {
      const { store } = context;
      const lease = await own(store);
      const limits = { ...UNLIMITED, publicationBytes: 10_000 };
      const begin = (publication: NewPublication) => store.publications.begin(lease, publication, limits);
      const outcomes = (count: number, bytes: number) =>
        Array.from({ length: count }, () => ({ message: null, outcome: 'x'.repeat(bytes) }));
      expect(await begin(direct(100))).toBe('full');
      expect(await begin(direct(0, { items: outcomes(1, 10_000) }))).toBe('full');
      const expiring = ['a', 'b', 'c'].map((id) => direct(0, { id, items: outcomes(1, 2_500), retentionMs: 300 }));
      for (const publication of expiring) expect(await begin(publication)).toBe('begun');
      const large = direct(0, { items: outcomes(3, 3_000) });
      expect(await begin(large)).toBe('full');
      await context.elapse(300, async () => (await begin(large)) === 'begun');
      expect(await begin(direct(1))).toBe('begun');
      expect(await begin(direct(1))).toBe('full');
    });

    it('are forgotten, as many as it takes, where the new one needs their room', async () => {
      const { store } = context;
      const lease = await own(store);
      const expiring = Array.from({ length: 20 }, () => direct(1, { retentionMs: 100 }));
      for (const publication of expiring) await stored(store, lease, publication);
      const large = direct(30, { idempotencyKey: 'large' });
      const limits = { ...UNLIMITED, publicationBytes: 17_000 };
      await context.elapse(200, async () => (await store.publications.begin(lease, large, limits)) === 'begun');
      expect(await states(store, lease, large.id)).toHaveLength(30);
    });

    it('go with their Connection', async () => {
      const { store } = context;
      const lease = await own(store);
      const publication = queued(['a'], { idempotencyKey: 'k' });
      await stored(store, lease, publication);
      await store.connections.remove(lease.key);
      expect(await states(store, lease, publication.id)).toEqual([]);
      expect(await waiting(store, lease)).toEqual([]);
    });
  });

  describe('the outbox', () => {
    it('keeps the order in which messages were queued, over batches and pages, and all that they are', async () => {
      const { store, other } = context;
      const lease = await own(store);
      const message = outgoing('\0\xff', {
        topic: 'ä/b',
        qos: 2,
        retain: true,
        properties: {
          messageExpiryInterval: 7,
          correlationData: Buffer.from([1, 0]),
          userProperties: { k: ['a', 'b'] },
        },
      });
      await stored(store, lease, { ...queued([]), items: [{ message, outcome: null }] });
      await stored(store, lease, queued(['b', 'c']));
      await stored(store, lease, queued(['d']));
      const page = await other.publications.outbox(lease.key, 0, 2);
      expect(page[0]?.message).toEqual({ ...message, payload: Buffer.from(message.payload) });
      expect(page[0]?.ageMs).toBeGreaterThanOrEqual(0);
      expect(page[0]?.ageMs).toBeLessThan(10_000);
      expect(page.map(({ item }) => item.index)).toEqual([0, 0]);
      expect(await waiting(store, lease, page[1]?.position, 1)).toEqual(['c']);
      expect((await waiting(store, lease)).slice(1)).toEqual(['b', 'c', 'd']);
      await context.elapse(50, async () => ((await store.publications.outbox(lease.key, 0, 1))[0]?.ageMs ?? 0) >= 50);
    });

    it('holds what has not ended: not what was faulty from the start, nor what has its outcome', async () => {
      const { store } = context;
      const lease = await own(store);
      const publication: NewPublication = {
        ...queued([]),
        items: [
          { message: outgoing('a'), outcome: null },
          { message: null, outcome: 'faulty' },
          { message: outgoing('c'), outcome: null },
        ],
      };
      const [first] = await stored(store, lease, publication);
      if (first === undefined) throw new Error('unreachable');
      expect(await waiting(store, lease)).toEqual(['a', 'c']);
      await store.publications.settle(lease, [{ item: first, outcome: 'sent' }]);
      expect(await waiting(store, lease)).toEqual(['c']);
      expect(await states(store, lease, publication.id)).toEqual(['done sent', 'done faulty', 'open']);
    });

    it('takes all of a publication or nothing, up to its limits, and more when some of it has ended', async () => {
      const { store } = context;
      const lease = await own(store);
      const three = { ...UNLIMITED, outboxMessages: 3 };
      const first = queued(['a', 'b']);
      expect(await store.publications.begin(lease, first, three)).toBe('begun');
      const second = queued(['c', 'd'], { idempotencyKey: 'k' });
      expect(await store.publications.begin(lease, second, three)).toBe('outbox-full');
      expect(await store.publications.find(lease.key, { idempotencyKey: 'k' })).toBeNull();
      expect(await store.publications.begin(lease, direct(9), three)).toBe('begun');
      await store.publications.settle(lease, [{ item: firstOf(itemsOf(first)), outcome: 'x' }]);
      expect(await store.publications.begin(lease, second, three)).toBe('begun');
      expect(await waiting(store, lease)).toEqual(['b', 'c', 'd']);
      const large = queued(['x'.repeat(1_000)]);
      expect(await store.publications.begin(lease, large, { ...UNLIMITED, outboxBytes: 1_000 })).toBe('outbox-full');
      expect(await store.publications.begin(lease, large, { ...UNLIMITED, outboxBytes: 1_200 })).toBe('begun');
    });

    it('has pages that end early rather than fill the memory', async () => {
      const { store } = context;
      const lease = await own(store);
      const megabyte = { message: outgoing('', { payload: Buffer.alloc(1_048_576) }), outcome: null };
      await stored(store, lease, { ...queued([]), items: Array(10).fill(megabyte) });
      const page = await store.publications.outbox(lease.key, 0, 100);
      expect(page).toHaveLength(8);
      expect(await store.publications.outbox(lease.key, page.at(-1)?.position ?? 0, 100)).toHaveLength(2);
    });
  });

  describe('an exchange of an item', () => {
    const packet = Buffer.from('packet');

    async function begun(members: Partial<NewPublication> = {}) {
      const { store } = context;
      const lease = await own(store);
      const publication = queued(['a'], members);
      const item = firstOf(await stored(store, lease, publication));
      await store.exchanges.begin(lease, 1, [
        { packetId: 5, packet, item },
        { packetId: 6, packet },
      ]);
      return { store, lease, item, id: publication.id };
    }

    it('decides about it: neither the outbox has it, nor does anybody else settle it', async () => {
      const { store, lease, item, id } = await begun();
      expect(await states(store, lease, id)).toEqual(['exchanged']);
      expect(await waiting(store, lease)).toEqual([]);
      await store.publications.settle(lease, [{ item, outcome: 'too late' }]);
      expect(await states(store, lease, id)).toEqual(['exchanged']);
      const loaded = await store.exchanges.load(lease, 1);
      expect(loaded.map((exchange) => exchange.item)).toEqual([item, null]);
    });

    it('gives it the outcome when it is finished', async () => {
      const { store, lease, item, id } = await begun();
      await store.exchanges.release(lease, 1, [{ packetId: 5, reasonCode: 0 }]);
      await store.exchanges.finish(lease, [5, 6], [{ item, outcome: '{"reasonCode":0}' }]);
      expect(await states(store, lease, id)).toEqual(['done {"reasonCode":0}']);
      expect(await store.exchanges.load(lease, 1)).toEqual([]);
      const limits = { ...UNLIMITED, outboxMessages: 1, outboxBytes: 1_000 };
      expect(await store.publications.begin(lease, queued(['b']), limits)).toBe('begun');
    });

    it('that never was one makes it wait in its old place again', async () => {
      const { store, lease, item, id } = await begun();
      await stored(store, lease, queued(['b']));
      await store.exchanges.finish(lease, [5], [{ item, outcome: null }]);
      expect(await states(store, lease, id)).toEqual(['open']);
      expect(await waiting(store, lease)).toEqual(['a', 'b']);
    });

    it('that is discarded with its session leaves it lost, unless the outcome comes after all', async () => {
      const { store, lease, item, id } = await begun({ idempotencyKey: 'k' });
      expect(await store.exchanges.load(lease, 2)).toEqual([]);
      expect(await states(store, lease, id)).toEqual(['lost']);
      expect(await waiting(store, lease)).toEqual([]);
      await store.exchanges.finish(lease, [5], [{ item, outcome: null }]);
      await store.publications.settle(lease, [{ item, outcome: 'x' }]);
      expect(await states(store, lease, id)).toEqual(['lost']);
      expect(await store.publications.find(lease.key, { idempotencyKey: 'k' })).toMatchObject({ id });
      await store.exchanges.finish(lease, [5], [{ item, outcome: 'late' }]);
      expect(await states(store, lease, id)).toEqual(['done late']);
    });

    it('is not known to the exchange that has its identifier next', async () => {
      const { store, lease, item } = await begun();
      await store.exchanges.finish(lease, [5], [{ item, outcome: 'x' }]);
      await store.exchanges.begin(lease, 1, [{ packetId: 5, packet }]);
      expect((await store.exchanges.load(lease, 1)).map((exchange) => exchange.item)).toEqual([null, null]);
    });

    it('of a publication that has expired is finished all the same', async () => {
      const { store, lease, item, id } = await begun({ retentionMs: 100 });
      await context.elapse(200, async () => (await states(store, lease, id)).length === 0);
      await stored(store, lease, direct(1));
      await store.exchanges.finish(lease, [5, 6], [{ item, outcome: 'x' }]);
      expect(await store.exchanges.load(lease, 1)).toEqual([]);
    });
  });
}
