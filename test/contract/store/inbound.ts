import { describe, expect, it } from 'vitest';
import type { InboundEntry } from '../../../src/bridge/ports.ts';
import { drain, entries, newKey, newMessage, numbered, own, ROOMY, type StoreContext } from './fixtures.ts';

function qos2(text: string, packetId: number): InboundEntry {
  return { kind: 'message', message: newMessage(text, { qos: 2 }), packetId };
}
function release(packetId: number): InboundEntry {
  return { kind: 'release', packetId };
}

export function describeInbound(context: StoreContext): void {
  describe('the session record', () => {
    it('is absent before the first save', async () => {
      expect(await context.store.inbound.loadSession(newKey())).toBeNull();
    });

    it('keeps the status as it is, nested and of any release', async () => {
      const { inbound } = context.store;
      const lease = await own(context.store);
      const status = {
        state: 'online',
        granted: { 'a/+': 1, 'é/#': 2 },
        connack: { properties: null },
        later: [1, {}],
      };
      await inbound.saveStatus(lease, status);
      expect(await inbound.loadSession(lease.key)).toEqual({ schema: 1, generation: 0, status });
      await inbound.saveStatus(lease, { state: 'offline' });
      expect(await inbound.loadSession(lease.key)).toEqual({ schema: 1, generation: 0, status: { state: 'offline' } });
    });

    it('counts generations, which a saved status does not touch', async () => {
      const { inbound } = context.store;
      const lease = await own(context.store);
      expect(await inbound.beginGeneration(lease, { state: 'a' })).toBe(1);
      expect(await inbound.beginGeneration(lease, { state: 'b' })).toBe(2);
      await inbound.saveStatus(lease, { state: 'c' });
      expect(await inbound.loadSession(lease.key)).toEqual({ schema: 1, generation: 2, status: { state: 'c' } });
      expect(await inbound.beginGeneration(lease, { state: 'd' })).toBe(3);
    });

    it('stays absent when only messages arrived', async () => {
      const lease = await own(context.store);
      await context.store.inbound.append(lease, 0, entries(['1']), ROOMY);
      expect(await context.store.inbound.loadSession(lease.key)).toBeNull();
    });
  });

  describe('append', () => {
    it('keeps the order of groups and within them', async () => {
      const lease = await own(context.store);
      const texts = numbered(600);
      for (let from = 0; from < texts.length; from += 200) {
        const group = entries(texts.slice(from, from + 200));
        expect(await context.store.inbound.append(lease, 1, group, ROOMY)).toMatchObject({ stored: 200, dropped: 0 });
      }
      expect(await drain(context.store, lease.key, 70)).toEqual(texts);
    });

    it('takes an empty group', async () => {
      const lease = await own(context.store);
      expect(await context.store.inbound.append(lease, 1, [], ROOMY)).toMatchObject({ stored: 0, dropped: 0 });
    });

    it('recognises a QoS 2 message by its identifier, in the same group and in later ones', async () => {
      const { store } = context;
      const lease = await own(store);
      const append = (...group: InboundEntry[]) => store.inbound.append(lease, 1, group, ROOMY);
      expect(await append(qos2('a', 1), qos2('b', 2), qos2('a again', 1))).toMatchObject({ stored: 2, dropped: 0 });
      expect(await append(qos2('b again', 2), qos2('c', 65_535))).toMatchObject({ stored: 1, dropped: 0 });
      expect(await drain(store, lease.key)).toEqual(['a', 'b', 'c']);
    });

    it('takes an identifier anew once it was released, in the order of the group', async () => {
      const { store } = context;
      const lease = await own(store);
      const append = (...group: InboundEntry[]) => store.inbound.append(lease, 1, group, ROOMY);
      const group = [qos2('a', 1), release(1), qos2('b', 1), qos2('b again', 1), release(1), release(1), qos2('c', 1)];
      expect(await append(...group)).toMatchObject({ stored: 3, dropped: 0 });
      expect(await append(qos2('c again', 1), release(1))).toMatchObject({ stored: 0, dropped: 0 });
      expect(await append(release(7), qos2('d', 1))).toMatchObject({ stored: 1, dropped: 0 });
      expect(await drain(store, lease.key)).toEqual(['a', 'b', 'c', 'd']);
    });

    it('does not mistake QoS 0 and 1 for duplicates', async () => {
      const { store } = context;
      const lease = await own(store);
      const same = newMessage('same', { dup: true });
      const group: InboundEntry[] = [
        qos2('a', 1),
        { kind: 'message', message: same },
        { kind: 'message', message: same },
      ];
      expect(await store.inbound.append(lease, 1, group, ROOMY)).toMatchObject({ stored: 3, dropped: 0 });
    });

    it('keeps identifiers when the queue is emptied, and while the lease changes hands', async () => {
      const { store } = context;
      const lease = await own(store);
      await store.inbound.append(lease, 1, [qos2('a', 1)], ROOMY);
      const page = await store.queues.read(lease.key, null, 1);
      await store.queues.removeEach(
        lease.key,
        page.messages.map(({ position }) => position),
      );
      await store.leases.release(lease);
      const next = await own(store, lease.key, 'node-b');
      expect(await store.inbound.append(next, 1, [qos2('a again', 1)], ROOMY)).toMatchObject({ stored: 0, dropped: 0 });
    });

    it('forgets the identifiers of the generation before', async () => {
      const { store } = context;
      const lease = await own(store);
      const first = await store.inbound.beginGeneration(lease, {});
      await store.inbound.append(lease, first, [qos2('a', 1)], ROOMY);
      const second = await store.inbound.beginGeneration(lease, {});
      expect(await store.inbound.append(lease, second, [qos2('b', 1)], ROOMY)).toMatchObject({ stored: 1, dropped: 0 });
      expect(await store.inbound.append(lease, second, [qos2('b again', 1)], ROOMY)).toMatchObject({
        stored: 0,
        dropped: 0,
      });
      expect(await drain(store, lease.key)).toEqual(['a', 'b']);
    });

    it('keeps the identifiers of one key apart from those of another', async () => {
      const { store } = context;
      const [one, two] = [await own(store), await own(store)];
      await store.inbound.append(one, 1, [qos2('a', 1)], ROOMY);
      expect(await store.inbound.append(two, 1, [qos2('b', 1)], ROOMY)).toMatchObject({ stored: 1, dropped: 0 });
      await store.inbound.append(two, 1, [release(1)], ROOMY);
      expect(await store.inbound.append(one, 1, [qos2('a again', 1)], ROOMY)).toMatchObject({ stored: 0, dropped: 0 });
    });
  });
}
