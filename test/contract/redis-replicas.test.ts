import { describe, expect, it, onTestFinished } from 'vitest';
import { StoreUnavailable } from '../../src/bridge/ports.ts';
import { openRedisStore, type RedisStore, type RedisStoreOptions } from '../../src/store/redis/index.ts';
import { failureOf, succeeds } from '../helpers/outcome.ts';
import { type RedisServer, startRedis, startRedisCluster, startSentinel } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';
import { listening } from './store/bus.ts';
import { drain, entries, newRecord, own, ROOMY } from './store/fixtures.ts';

async function startPair(): Promise<{ master: RedisServer; replica: RedisServer }> {
  const master = await startRedis();
  onTestFinished(() => master.stop());
  const replica = await startRedis({ replicaOf: master.port });
  onTestFinished(() => replica.stop());
  await until(async () => (await master.admin.info('replication')).includes('state=online'), {
    what: 'the replica follows its master',
  });
  return { master, replica };
}

async function open(options: Pick<RedisStoreOptions, 'url' | 'minReplicas'>): Promise<RedisStore> {
  const store = await openRedisStore({ prefix: 'replicas', nodeId: 'node-a', ...options });
  onTestFinished(() => store.close());
  return store;
}

describe('STORE_MIN_REPLICAS', () => {
  it('commits only what enough replicas confirmed, and does not hold up the rest meanwhile', async () => {
    const { master, replica } = await startPair();
    const store = await open({ url: master.url, minReplicas: 1 });
    const leases = await Promise.all(Array.from({ length: 5 }, () => own(store)));
    const [lease] = leases;
    if (lease === undefined) throw new Error('unreachable');
    expect(await store.connections.create(newRecord())).toBe('created');
    await Promise.all(leases.map((each) => store.inbound.append(each, 1, entries(['1']), ROOMY)));
    expect(await store.inbound.beginGeneration(lease, {})).toBe(1);

    replica.signal('SIGSTOP');
    const appends = leases.map((each) => failureOf(store.inbound.append(each, 1, entries(['2'], 7), ROOMY)));
    const renewal = await failureOf(store.leases.renew(leases, 60_000));
    expect(renewal.error).toBeNull();
    expect(renewal.ms).toBeLessThan(500);
    for (const { error, ms } of await Promise.all(appends)) {
      expect(error).toBeInstanceOf(StoreUnavailable);
      expect(String(error)).toContain('0 of 1 replicas');
      expect(ms).toBeLessThan(4_000);
    }
    expect((await failureOf(store.connections.create(newRecord()))).error).toBeInstanceOf(StoreUnavailable);

    replica.signal('SIGCONT');
    await until(() => succeeds(store.inbound.append(lease, 1, entries(['3']), ROOMY)), {
      what: 'writes are confirmed',
    });
    // What was refused is stored all the same, as a rejection leaves open; its identifier keeps the repetition out.
    expect(await store.inbound.append(lease, 1, entries(['2'], 7), ROOMY)).toMatchObject({ stored: 0 });
    expect((await drain(store, lease.key)).slice(0, 3)).toEqual(['1', '2', '3']);
  });

  it('is asked of the right node of a Cluster', async () => {
    const cluster = await startRedisCluster();
    onTestFinished(() => cluster.stop());
    const store = await open({ url: cluster.url, minReplicas: 1 });
    const append = async () => failureOf(store.inbound.append(await own(store), 1, entries(['1']), ROOMY));
    const failures = await Promise.all(Array.from({ length: 6 }, append));
    for (const { error } of failures) expect(String(error)).toContain('0 of 1 replicas');
  });
});

describe('a Redis behind Sentinels', () => {
  it('is found, and again after a fail-over, with what was replicated', async () => {
    const { master, replica } = await startPair();
    const sentinel = await startSentinel('bridge-master', master);
    onTestFinished(() => sentinel.stop());
    const store = await open({ url: sentinel.url, minReplicas: 1 });
    const lease = await own(store);
    await store.inbound.append(lease, 1, entries(['before'], 1), ROOMY);
    const [before] = (await store.queues.read(lease.key, null, 1)).messages;
    const plain = await open({ url: sentinel.url });
    let woken = 0;
    onTestFinished(plain.queues.watch(lease.key, () => woken++));
    await until(() => woken > 0, { what: 'the watcher listens' });
    const { nodeId, frames } = await listening(store);

    await master.kill();
    await until(() => succeeds(plain.inbound.append(lease, 1, entries(['after']), ROOMY)), {
      what: 'the promoted replica takes writes',
      within: 20_000,
    });
    expect(await replica.admin.info('replication')).toContain('role:master');
    expect(await plain.inbound.append(lease, 1, entries(['before'], 1), ROOMY)).toMatchObject({
      stored: 0,
      dropped: 0,
    });
    const { messages } = await plain.queues.read(lease.key, null, 10);
    expect(messages[0]).toEqual(before);
    expect(new Set(messages.map(({ position }) => position)).size).toBe(messages.length);
    expect((await drain(plain, lease.key)).at(-1)).toBe('after');
    const seen = woken;
    await plain.inbound.append(lease, 1, entries(['last']), ROOMY);
    await until(() => woken > seen, { what: 'the watcher follows to the new master' });
    await until(() => plain.bus.send(nodeId, Buffer.from('x')), { what: 'the listener follows to the new master' });
    await until(() => frames.length > 0, { what: 'it hears what is sent' });
  });
});
