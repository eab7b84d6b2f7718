import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Key, StoreUnavailable } from '../../src/bridge/ports.ts';
import { RedisClient } from '../../src/store/redis/client.ts';
import { connect } from '../../src/store/redis/connect.ts';
import { openRedisStore, type RedisStore } from '../../src/store/redis/index.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { parseRedisUrl } from '../../src/store/redis/redis-url.ts';
import { loadScripts } from '../../src/store/redis/scripts.ts';
import { succeeds } from '../helpers/outcome.ts';
import { type RedisServer, startRedisCluster } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';
import { listening } from './store/bus.ts';
import { drain, entries, newKey, newRecord, numbered, own, ROOMY, unique } from './store/fixtures.ts';
import { describeStore } from './store-suite.ts';

const PREFIX = 'contract';
const keys = new Keys(PREFIX);
const cluster = await startRedisCluster();
afterAll(() => cluster.stop());

const openStore = () => openRedisStore({ url: cluster.url, prefix: PREFIX, nodeId: 'node-a' });
describeStore('the Redis store, on a Cluster', { open: openStore, openAnother: openStore, reopen: openStore });

async function open(): Promise<RedisStore> {
  const store = await openStore();
  onTestFinished(() => store.close());
  return store;
}

async function slotOf(name: string): Promise<number> {
  return Number(await anyServer().admin.call('CLUSTER', 'KEYSLOT', name));
}

function anyServer(): RedisServer {
  const [server] = cluster.servers;
  if (server === undefined) throw new Error('the Cluster has no node');
  return server;
}

/** The node that a Connection's names are on. */
async function serverOf(key: Key): Promise<RedisServer> {
  return serverOfSlot(await slotOf(keys.of(key, 'record')));
}

/** Which it was on at first. */
function serverOfSlot(slot: number): RedisServer {
  return cluster.servers[Math.floor((slot * cluster.servers.length) / 16_384)] ?? anyServer();
}

async function moveSlot(slot: number, from: RedisServer, to: RedisServer): Promise<void> {
  const target = String(await to.admin.call('CLUSTER', 'MYID'));
  for (const server of [to, from]) await server.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', target);
}

async function keyOn(server: RedisServer): Promise<Key> {
  return await until(
    async () => {
      const key = newKey();
      return (await serverOf(key)) === server ? key : null;
    },
    { what: 'a key of that node' },
  );
}

describe('slots', () => {
  it('hold all that is under a key together, and the rest apart', async () => {
    const key = newKey();
    expect(new Set(await Promise.all(keys.allOf(key).map(slotOf))).size).toBe(1);
    expect(new Set(await Promise.all(keys.indexes().map(slotOf))).size).toBe(64);
    const braces = 'a}{b{c}';
    const names = [keys.claimOfId(braces), keys.claimOfClientId('profile:default', braces), keys.indexOf(braces)];
    expect(new Set(await Promise.all(names.map(slotOf))).size).toBe(3);
    expect(new Set(await Promise.all(keys.schedules().map(slotOf))).size).toBe(64);
    expect(await slotOf(keys.framesOf('node-a'))).not.toBe(await slotOf(keys.framesOf('node-b')));
  });

  it('cannot be crossed: the servers refuse a call that declares two, and a script that uses one undeclared', async () => {
    const log = { info() {}, warn() {} };
    const client = new RedisClient(await connect(parseRedisUrl(cluster.url), 'test', log), loadScripts());
    onTestFinished(() => client.close());
    const [one, two] = [newKey(), newKey()];
    const call = client.run('stats', [keys.of(one, 'queue'), keys.of(two, 'counters')], []);
    await expect(call).rejects.toThrow(/CROSSSLOT|same slot/);
    // The same header as every script of the store has.
    const undeclared = `#!lua\nreturn redis.call('GET', '${keys.of(two, 'lease')}')`;
    await expect(client.send('EVAL', undeclared, 1, keys.of(one, 'lease'))).rejects.toThrow(/non local key|same slot/);
  });

  it('are followed when they move to another node', async () => {
    const store = await open();
    // Only an empty slot is moved by a word: others' keys may lie in it.
    const findKey = async () => {
      const key = newKey();
      const [from, slot] = [await serverOf(key), await slotOf(keys.of(key, 'record'))];
      return (await from.admin.call('CLUSTER', 'COUNTKEYSINSLOT', slot)) === 0 ? { key, from, slot } : null;
    };
    const { key, from, slot } = await until(findKey, { what: 'a key in an empty slot' });
    const to = cluster.servers.find((server) => server !== from) ?? from;
    await moveSlot(slot, from, to);
    const lease = await own(store, key);
    await store.inbound.append(lease, 1, entries(['moved']), ROOMY);
    expect(await to.admin.exists(keys.of(key, 'queue'))).toBe(1);
    expect(await drain(store, key)).toEqual(['moved']);
  });
});

describe('the bus', () => {
  it('follows its channel to another node', async () => {
    const [store, other] = [await open(), await open()];
    // Only an empty slot is moved by a word: others' keys may lie in it.
    const { nodeId, slot, from } = await until(findEmptySlot, { what: 'a channel in an empty slot' });
    const { frames } = await listening(store, nodeId);
    const to = cluster.servers.find((server) => server !== from) ?? from;
    const isHeard = (text: string) => other.bus.send(nodeId, Buffer.from(text)).catch(() => false);
    await moveSlot(slot, from, to);
    await until(() => isHeard('moved'), { what: 'it is heard again' });
    await until(() => frames.some((frame) => frame.toString() === 'moved'), { what: 'the frame arrives' });
    expect(await to.admin.call('PUBSUB', 'SHARDNUMSUB', keys.framesOf(nodeId))).toEqual([keys.framesOf(nodeId), 1]);
    await moveSlot(slot, to, from);
    await until(() => isHeard('moved back'), { what: 'it is heard again' });
    await until(() => frames.some((frame) => frame.toString() === 'moved back'), { what: 'the frame arrives' });
  });

  async function findEmptySlot() {
    const nodeId = unique('node');
    const slot = await slotOf(keys.framesOf(nodeId));
    const from = serverOfSlot(slot);
    return (await from.admin.call('CLUSTER', 'COUNTKEYSINSLOT', slot)) === 0 ? { nodeId, slot, from } : null;
  }
});

describe('a Cluster', () => {
  it('is swept on every node', async () => {
    const store = await open();
    await store.sweep();
    const records = numbered(12).map(() => newRecord());
    for (const record of records) await store.connections.create(record);
    const servers = await Promise.all(records.map(({ key }) => serverOf(key)));
    expect(new Set(servers).size).toBe(cluster.servers.length);
    for (const { id } of records)
      await Promise.allSettled(cluster.servers.map(({ admin }) => admin.del(keys.indexOf(id))));
    expect((await store.sweep()).restored).toBeGreaterThanOrEqual(records.length);
    const listed = new Set((await store.connections.list(null, 10_000)).map(({ id }) => id));
    expect(records.filter(({ id }) => !listed.has(id))).toEqual([]);
  });

  it('serves the other keys while a node is away, and these again when it is back', async () => {
    const store = await open();
    const [lost, kept] = cluster.servers;
    if (lost === undefined || kept === undefined) throw new Error('the Cluster is too small');
    const [mine, other] = [await own(store, await keyOn(lost)), await own(store, await keyOn(kept))];
    await lost.kill();
    await expect(store.inbound.append(mine, 1, entries(['x']), ROOMY)).rejects.toThrow(StoreUnavailable);
    expect(await store.inbound.append(other, 1, entries(['x']), ROOMY)).toMatchObject({ stored: 1, dropped: 0 });
    expect(await store.leases.renew([mine, other], 60_000)).toEqual({ renewed: new Set([other.key]), lost: new Set() });
    await expect(store.leases.renew([mine], 60_000)).rejects.toThrow(StoreUnavailable);
    // The shards of the schedule that are elsewhere.
    await expect(store.schedule.take(1_000, 60_000)).resolves.toBeInstanceOf(Array);
    await expect(store.ping()).resolves.toBeUndefined();
    await lost.start();
    await until(() => succeeds(store.inbound.loadSession(mine.key)), { what: 'its keys are available again' });
    const again = await own(store, mine.key);
    await store.inbound.append(again, 1, entries(['after']), ROOMY);
    expect((await drain(store, mine.key)).at(-1)).toBe('after');
  });
});
