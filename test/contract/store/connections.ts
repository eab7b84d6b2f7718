import { describe, expect, it } from 'vitest';
import { type ConnectionRecord, StaleEpoch } from '../../../src/bridge/ports.ts';
import { entries, filled, newKey, newMessage, newRecord, own, ROOMY, type StoreContext, unique } from './fixtures.ts';

export function describeConnections(context: StoreContext): void {
  describe('records of Connections', () => {
    it('are found by id, key and ClientID, by every instance', async () => {
      const { connections } = context.store;
      const record = newRecord({ parameters: { will: { topic: 'a/é' }, list: [1, null] }, sealed: 'c2VjcmV0' });
      expect(await connections.byId(record.id)).toBeNull();
      expect(await connections.byKey(record.key)).toBeNull();
      expect(await connections.byClientId(record.broker, record.clientId)).toBeNull();
      expect(await connections.create(record)).toBe('created');
      for (const instance of [context.store, context.other]) {
        expect(await instance.connections.byId(record.id)).toEqual(record);
        expect(await instance.connections.byKey(record.key)).toEqual(record);
        expect(await instance.connections.byClientId(record.broker, record.clientId)).toEqual(record);
      }
      expect(await connections.byClientId('profile:other', record.clientId)).toBeNull();
    });

    it.each(['a/b c', 'ä:{x}:😀', "'; --", '%2F*?[', '~', '__proto__'])('may be called %j', async (odd) => {
      const name = `${unique()}${odd}`;
      const record = newRecord({ id: name, clientId: name, broker: `url:mqtts://[::1]:8883/${odd}` });
      expect(await context.store.connections.create(record)).toBe('created');
      expect(await context.store.connections.byId(name)).toEqual(record);
      expect(await context.store.connections.byClientId(record.broker, name)).toEqual(record);
    });

    it('have a unique id', async () => {
      const first = newRecord();
      const second = newRecord({ id: first.id });
      await context.store.connections.create(first);
      expect(await context.store.connections.create(second)).toBe('id-taken');
      expect(await context.store.connections.byId(first.id)).toEqual(first);
      expect(await context.store.connections.byKey(second.key)).toBeNull();
      expect(await context.store.connections.byClientId(second.broker, second.clientId)).toBeNull();
    });

    it('have a ClientID that is unique per broker', async () => {
      const first = newRecord();
      const second = newRecord({ clientId: first.clientId });
      const elsewhere = newRecord({ clientId: first.clientId, broker: 'url:mqtt://127.0.0.1:1884' });
      await context.store.connections.create(first);
      expect(await context.store.connections.create(second)).toBe('client-id-in-use');
      expect(await context.store.connections.byId(second.id)).toBeNull();
      expect(await context.store.connections.byKey(second.key)).toBeNull();
      expect(await context.store.connections.create(elsewhere)).toBe('created');
      expect(await context.store.connections.create({ ...second, clientId: unique() })).toBe('created');
    });

    it('are created once, however many try at the same time', async () => {
      const id = unique('id');
      const clientId = unique('client');
      const rivals = Array.from({ length: 8 }, (_, index) =>
        (index % 2 === 0 ? context.store : context.other).connections.create(newRecord({ id, clientId })),
      );
      const results = await Promise.all(rivals);
      expect(results.filter((result) => result === 'created')).toHaveLength(1);
      expect(await context.store.connections.byId(id)).toEqual(
        await context.store.connections.byClientId('profile:default', clientId),
      );
    });

    it('are listed in code-point order of id, page by page', async () => {
      const prefix = unique('list');
      // By UTF-16 units, as JavaScript compares, U+1F600 would come before U+FFFD.
      const ids = ['A', 'Z', 'a', 'a/b', 'aa', 'b', 'é', '\u{fffd}', '\u{1f600}'].map((name) => prefix + name);
      for (const id of [...ids].reverse()) await context.store.connections.create(newRecord({ id }));
      for (const pageSize of [1, 2, 100]) {
        expect(await listFrom(context, prefix, pageSize)).toEqual(ids);
      }
      expect((await context.store.connections.list(null, 2)).length).toBe(2);
    });

    it('are replaced only from the revision that they are at', async () => {
      const { connections } = context.store;
      const record = newRecord({ provisional: true });
      await connections.create(record);
      const changed = { ...record, provisional: false, parameters: { keepAlive: 30 }, sealed: 'eA==' };
      expect(await connections.update(1, changed)).toBe('updated');
      expect(await connections.byKey(record.key)).toEqual({ ...changed, revision: 2 });
      expect(await connections.update(1, { ...record, parameters: { keepAlive: 1 } })).toBe('conflict');
      expect(await connections.byId(record.id)).toEqual({ ...changed, revision: 2 });
      expect(await connections.update(2, { ...changed, revision: 3 })).toBe('updated');
      expect(await connections.byClientId(record.broker, record.clientId)).toEqual({ ...changed, revision: 3 });
      expect(await connections.update(1, newRecord())).toBe('gone');
    });

    it('are replaced by one of several who read the same revision', async () => {
      const record = newRecord();
      await context.store.connections.create(record);
      const rivals = Array.from({ length: 8 }, (_, index) =>
        (index % 2 === 0 ? context.store : context.other).connections.update(1, {
          ...record,
          parameters: { rival: index },
        }),
      );
      const results = await Promise.all(rivals);
      expect(results.filter((result) => result === 'updated')).toHaveLength(1);
      expect(results.filter((result) => result === 'conflict')).toHaveLength(7);
      const winner = results.indexOf('updated');
      expect(await context.store.connections.byKey(record.key)).toMatchObject({
        parameters: { rival: winner },
        revision: 2,
      });
    });

    it('keep the members that a newer release wrote', async () => {
      const { connections } = context.store;
      const later = { quota: { perDay: 7 }, 'odd name': [true] };
      const record = { ...newRecord({ parameters: { later: { deep: [1] } } }), ...later };
      await connections.create(record);
      const read = await connections.byKey(record.key);
      expect(read).toEqual(record);
      await connections.update(1, { ...(read ?? record), provisional: true });
      expect(await connections.byId(record.id)).toEqual({ ...record, provisional: true, revision: 2 });
    });

    it('may be large', async () => {
      const record = newRecord({ parameters: { ca: 'x'.repeat(300_000) } });
      await context.store.connections.create(record);
      expect(await context.store.connections.byId(record.id)).toEqual(record);
    });

    it('take everything under their key with them, and free their names', async () => {
      const { store } = context;
      const record = newRecord();
      const lease = await filled(store, ['1', '2', '3']);
      const owned: ConnectionRecord = { ...record, key: lease.key };
      await store.connections.create(owned);
      await store.inbound.beginGeneration(lease, { state: 'online' });
      await store.inbound.append(lease, 1, entries(['4'], 9), ROOMY);
      await store.queues.countDropped(lease, 5);
      await store.exchanges.begin(lease, 1, [{ packetId: 1, packet: Buffer.from('packet') }]);

      await store.connections.remove(lease.key);
      await store.connections.remove(lease.key);

      expect(await store.connections.byId(record.id)).toBeNull();
      expect(await store.connections.byKey(lease.key)).toBeNull();
      expect(await store.connections.byClientId(record.broker, record.clientId)).toBeNull();
      expect(await store.connections.list(record.id.slice(0, -1), 1)).not.toContainEqual(owned);
      expect(await store.connections.update(1, owned)).toBe('gone');
      expect(await store.inbound.loadSession(lease.key)).toBeNull();
      expect(await store.queues.read(lease.key, null, 10)).toEqual({ messages: [], remaining: 0 });
      expect(await store.queues.stats(lease.key)).toEqual({ depth: 0, bytes: 0, dropped: 0 });
      expect(await store.connections.create({ ...record, key: newKey() })).toBe('created');
    });

    it('end the lease, so that nothing is written under a removed key', async () => {
      const { store } = context;
      const record = newRecord();
      const lease = await own(store, record.key);
      await store.connections.create(record);
      await store.inbound.append(lease, 0, [{ kind: 'message', message: newMessage('1'), packetId: 3 }], ROOMY);
      await store.exchanges.begin(lease, 0, [{ packetId: 1, packet: Buffer.from('packet') }]);
      await store.connections.remove(record.key);
      await expect(store.inbound.append(lease, 0, entries(['2']), ROOMY)).rejects.toThrow(StaleEpoch);
      expect(await store.leases.holder(record.key)).toBeNull();
      const again = await own(store, record.key, 'node-b');
      expect(await store.exchanges.load(again, 0)).toEqual([]);
      expect(await store.inbound.append(again, 0, entries(['3'], 3), ROOMY)).toMatchObject({ stored: 1, dropped: 0 });
    });
  });
}

async function listFrom({ store }: StoreContext, prefix: string, pageSize: number): Promise<string[]> {
  const ids: string[] = [];
  for (let after = prefix; ; ) {
    const page = await store.connections.list(after, pageSize);
    expect(page.length).toBeLessThanOrEqual(pageSize);
    const ours = page.map(({ id }) => id).filter((id) => id.startsWith(prefix));
    ids.push(...ours);
    if (ours.length < pageSize) return ids;
    after = ours.at(-1) ?? after;
  }
}
