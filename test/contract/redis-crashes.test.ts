import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ConnectionRecord, StoreUnavailable } from '../../src/bridge/ports.ts';
import { Claims } from '../../src/store/redis/claims.ts';
import { type Commands, RedisClient } from '../../src/store/redis/client.ts';
import { connect } from '../../src/store/redis/connect.ts';
import { RedisConnections } from '../../src/store/redis/connections.ts';
import { openRedisStore, type RedisStore } from '../../src/store/redis/index.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { RecordIndex } from '../../src/store/redis/record-index.ts';
import { RecordTable } from '../../src/store/redis/record-table.ts';
import { parseRedisUrl } from '../../src/store/redis/redis-url.ts';
import { RedisSchedule } from '../../src/store/redis/schedule.ts';
import { loadScripts } from '../../src/store/redis/scripts.ts';
import { startRedis } from '../helpers/redis.ts';
import { filled, newRecord, unique } from './store/fixtures.ts';
import { takeAll } from './store/schedule.ts';

const PREFIX = 'crashes[*]';
const keys = new Keys(PREFIX);
const server = await startRedis();
afterAll(() => server.stop());

let store: RedisStore;
let client: RedisClient;
beforeAll(async () => {
  store = await openRedisStore({ url: server.url, prefix: PREFIX, nodeId: 'survivor', sweeps: false });
  const log = { info() {}, warn() {} };
  client = new RedisClient(await connect(parseRedisUrl(server.url), 'victim', log), loadScripts());
});
afterAll(async () => {
  await store.close();
  await client.close();
});

/** The records as a process sees them that is killed after so many commands: none of its later ones is sent. */
function dyingAfter(commands: number): { connections: RedisConnections; survived: () => boolean } {
  let left = commands;
  const live = async <T>(send: () => Promise<T>): Promise<T> => {
    left -= 1;
    if (left < 0) throw new StoreUnavailable('killed');
    return await send();
  };
  const dying: Commands = {
    run: (...call) => live(() => client.run(...call)),
    runEach: (...call) => live(() => client.runEach(...call)),
    send: (...call) => live(() => client.send(...call)),
  };
  return { connections: connectionsOver(dying), survived: () => left >= 0 };
}

function connectionsOver(commands: Commands): RedisConnections {
  const records = new RecordTable(commands, commands, keys);
  return new RedisConnections({
    keys,
    records,
    claims: new Claims(commands, records),
    index: new RecordIndex(commands, keys),
    schedule: new RedisSchedule(commands, keys),
  });
}

/** What a create has prepared goes away by itself; here its time is over at once. */
async function letPreparedExpire({ key }: ConnectionRecord): Promise<void> {
  if ((await server.admin.hexists(keys.of(key, 'record'), 'pending')) === 1) {
    await server.admin.pexpire(keys.of(key, 'record'), 0);
  }
}

async function listed(id: string): Promise<ConnectionRecord[]> {
  return (await store.connections.list(null, 100_000)).filter((record) => record.id === id);
}

async function namesInRedis(): Promise<string[]> {
  return (await server.admin.keys('*')).sort();
}

describe('a crash within a create', () => {
  it('after any number of steps leaves nothing that a later create, the list or a sweep does not mend', async () => {
    let steps = 0;
    for (let survived = false; !survived; steps += 1) {
      const names = { id: unique('id'), clientId: unique('client') };
      const lost = newRecord(names);
      const dying = dyingAfter(steps);
      await dying.connections.create(lost).catch((error) => expect(error).toBeInstanceOf(StoreUnavailable));
      survived = dying.survived();
      if (survived) {
        expect(await store.connections.byId(lost.id)).toEqual(lost);
        continue;
      }
      expect(await store.connections.byId(lost.id), `${steps} steps`).toBeNull();
      expect(await store.connections.byClientId(lost.broker, lost.clientId)).toBeNull();
      expect(await store.connections.byKey(lost.key)).toBeNull();
      expect(await listed(lost.id)).toEqual([]);
      await letPreparedExpire(lost);

      // A Connection that needs just one of the names, and one that needs the other.
      const sameId = newRecord({ id: lost.id });
      const sameClientId = newRecord({ clientId: lost.clientId });
      expect(await store.connections.create(sameId), `${steps} steps`).toBe('created');
      expect(await store.connections.create(sameClientId), `${steps} steps`).toBe('created');
      await store.sweep();
      expect(await listed(lost.id)).toEqual([sameId]);
      expect(await store.connections.byId(lost.id)).toEqual(sameId);
      expect(await store.connections.byClientId(lost.broker, lost.clientId)).toEqual(sameClientId);
      await store.connections.remove(sameId.key);
      await store.connections.remove(sameClientId.key);
    }
    // prepare, two claims, list, commit; and the attempt that was not interrupted
    expect(steps).toBe(6);
  });

  it('makes another create of the name wait until it is known what became of it', async () => {
    const lost = newRecord();
    await dyingAfter(4)
      .connections.create(lost)
      .catch(() => {});
    const rival = newRecord({ id: lost.id });
    const created = store.connections.create(rival);
    const early = await Promise.race([created, store.ping().then(() => 'waiting')]);
    expect(early).toBe('waiting');
    await letPreparedExpire(lost);
    expect(await created).toBe('created');
  });

  it('or one that is too slow ends with no Connection, and not with two', async () => {
    const slow = newRecord();
    const rival = newRecord({ id: slow.id });
    // Held up between its last claim and its commit, until a rival has taken over.
    const connections = connectionsOver({
      run: (...call) => client.run(...call),
      runEach: (...call) => client.runEach(...call),
      async send(command, ...args) {
        if (command === 'ZADD') {
          await letPreparedExpire(slow);
          expect(await store.connections.create(rival)).toBe('created');
        }
        return await client.send(command, ...args);
      },
    });
    await expect(connections.create(slow)).rejects.toThrow(StoreUnavailable);
    expect(await store.connections.byId(slow.id)).toEqual(rival);
    expect(await store.connections.byKey(slow.key)).toBeNull();
    expect(await listed(slow.id)).toEqual([rival]);
    expect(await store.connections.create(newRecord({ clientId: slow.clientId }))).toBe('created');
  });
});

describe('a crash within a removal', () => {
  it('after any number of steps leaves the Connection whole or gone, and its names free', async () => {
    let steps = 0;
    for (let survived = false; !survived; steps += 1) {
      const lost = newRecord({ key: (await filled(store, ['a', 'b'])).key });
      await store.connections.create(lost);
      const dying = dyingAfter(steps);
      await dying.connections.remove(lost.key).catch((error) => expect(error).toBeInstanceOf(StoreUnavailable));
      survived = dying.survived();
      if (steps === 0) {
        expect(await listed(lost.id)).toEqual([lost]);
        expect((await store.queues.stats(lost.key)).depth).toBe(2);
        continue;
      }
      expect(await listed(lost.id)).toEqual([]);
      expect(await store.connections.byId(lost.id)).toBeNull();
      expect((await store.queues.stats(lost.key)).depth).toBe(0);
      const next = newRecord({ id: lost.id, clientId: lost.clientId });
      expect(await store.connections.create(next)).toBe('created');
      await dyingAfter(100).connections.remove(lost.key);
      expect(await store.connections.byId(lost.id)).toEqual(next);
    }
    // the record, two claims, the list, the schedule; and the removal that was not interrupted
    expect(steps).toBe(6);
  });
});

describe('the sweep', () => {
  it('removes what a crash left of a Connection', async () => {
    await store.sweep();
    const before = await namesInRedis();
    const lost = newRecord();
    await dyingAfter(4)
      .connections.create(lost)
      .catch(() => {});
    expect(await store.sweep()).toEqual({ stale: 0, restored: 0, scheduled: 0 });
    await letPreparedExpire(lost);
    expect(await store.sweep()).toEqual({ stale: 1, restored: 0, scheduled: 0 });
    // The claim of a ClientID can only be found by who wants it.
    expect(await namesInRedis()).toEqual([...before, keys.claimOfClientId(lost.broker, lost.clientId)].sort());
    expect(await store.sweep()).toEqual({ stale: 0, restored: 0, scheduled: 0 });
  });

  it.each([
    ['its place in the list', ({ id }: ConnectionRecord) => keys.indexOf(id)],
    ['the claim of its id', ({ id }: ConnectionRecord) => keys.claimOfId(id)],
    ['the claim of its ClientID', ({ broker, clientId }: ConnectionRecord) => keys.claimOfClientId(broker, clientId)],
  ])('puts back what a fail-over lost of a Connection: %s', async (_what, nameOf) => {
    const record = newRecord();
    await store.connections.create(record);
    expect(await server.admin.del(nameOf(record))).toBe(1);
    expect((await store.sweep()).restored).toBeGreaterThanOrEqual(1);
    expect(await listed(record.id)).toEqual([record]);
    expect(await store.connections.byId(record.id)).toEqual(record);
    expect(await store.connections.byClientId(record.broker, record.clientId)).toEqual(record);
    expect(await store.connections.create(newRecord({ id: record.id }))).toBe('id-taken');
    expect(await store.sweep()).toEqual({ stale: 0, restored: 0, scheduled: 0 });
  });

  it('makes Connections due of which the schedule says nothing, and forgets entries of none', async () => {
    await store.sweep();
    const [silent, scheduled, unfinished] = [newRecord(), newRecord(), newRecord()];
    await store.connections.create(silent);
    await store.connections.create(scheduled);
    await dyingAfter(4)
      .connections.create(unfinished)
      .catch(() => {});
    const [stale, later] = [newRecord().key, 600_000];
    await store.schedule.set([scheduled.key, unfinished.key, stale].map((key) => ({ key, inMs: later })));
    expect(await store.sweep()).toEqual({ stale: 1, restored: 0, scheduled: 1 });
    expect(await takeAll(store, [silent.key, scheduled.key, unfinished.key, stale])).toEqual([silent.key]);
    await letPreparedExpire(unfinished);
    expect((await store.sweep()).stale).toBe(2);
    expect(await store.sweep()).toEqual({ stale: 0, restored: 0, scheduled: 0 });
  });

  it('leaves other prefixes alone, and what looks like the pattern', async () => {
    const neighbour = await openRedisStore({ url: server.url, prefix: 'crashesX', nodeId: 'neighbour', sweeps: false });
    const record = newRecord();
    await neighbour.connections.create(record);
    await server.admin.del(new Keys('crashesX').indexOf(record.id));
    expect(await store.sweep()).toEqual({ stale: 0, restored: 0, scheduled: 0 });
    expect(await store.connections.byId(record.id)).toBeNull();
    await neighbour.close();
  });
});
