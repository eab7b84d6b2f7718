import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const LEASE_TTL_MS = 1_500;

describe('two instances on one Redis: one owner', () => {
  let broker: Mosquitto;
  let redis: RedisServer;
  let owner: TestBridge;
  let other: TestBridge;
  let id: string;
  let count = 0;

  beforeAll(async () => {
    [broker, redis] = await Promise.all([startMosquitto(), startRedis()]);
  });
  afterAll(() => Promise.all([broker.stop(), redis.stop()]));

  async function instance(nodeId: string): Promise<TestBridge> {
    const store = await openRedisStore({ url: redis.url, prefix: `two-${count}`, nodeId });
    const bridge = await createTestBridge({ url: broker.url, store, nodeId, leaseTtlMs: LEASE_TTL_MS });
    await bridge.start();
    return bridge;
  }

  beforeEach(async () => {
    count += 1;
    id = `two-${count}`;
    owner = await instance('n1');
    await owner.declareConnection(id, valid(document()));
    other = await instance('n2');
  });
  afterEach(() => Promise.all([owner.end(), other.end()]));

  const document = (change = {}) => ({
    id,
    sessionExpiryInterval: 300,
    subscriptions: [{ filter: `${id}/#`, qos: 1 }],
    ...change,
  });
  const publish = async (bridge: TestBridge) => {
    const [result] = await bridge.publish(id, [{ message: message(`${id}/x`, 'x', 1), timeoutMs: 5_000 }]);
    return result;
  };
  const connects = () => broker.log().match(new RegExp(`New client connected from .* as ${id} `, 'g'))?.length ?? 0;

  it('both show the same Connection, and who owns it', async () => {
    expect(await other.getConnection(id)).toMatchObject({ state: 'online', owner: 'n1', generation: 1 });
  });

  it('what needs the owner is done by the owner, whoever is asked', async () => {
    expect(await publish(other)).toMatchObject({ qos: 1, reasonCode: 0 });
    const patched = await other.patchConnection(id, { queue: { maxMessages: 7 } });
    expect(patched).toMatchObject({ owner: 'n1', parameters: { queue: { maxMessages: 7 } } });
    expect(await other.addSubscriptions(id, [{ filter: 'more', qos: 0 }])).toMatchObject({
      applied: true,
      results: [{ filter: 'more', granted: { qos: 0 } }],
    });
    await other.removeSubscription(id, 'more');
    const opened = await other.openConnection(valid({ ...document(), queue: { maxMessages: 7 } }));
    expect(opened).toMatchObject({ created: false, connection: { owner: 'n1' } });
    const key = { respondAsync: false, idempotencyKey: 'k', fingerprint: 'f', batch: false };
    const kept = { ...key, items: [{ message: message(`${id}/y`, Buffer.from([0, 255]), 2), timeoutMs: 5_000 }] };
    expect(await other.publishKept(id, kept)).toMatchObject({ replayed: false, results: [{ qos: 2 }] });
    expect(await owner.publishKept(id, kept)).toMatchObject({ replayed: true, results: [{ qos: 2 }] });
    expect(connects()).toBe(1);

    const how = { sessionExpiryInterval: null, will: null };
    expect(await other.detachConnection(id, how)).toMatchObject({ state: 'parked', owner: null });
    expect(await other.deleteConnection(id, { session: 'discard', will: null })).toBe('deleted');
    await expect(owner.getConnection(id)).rejects.toMatchObject({ type: 'connection-not-found' });
  });

  it('a refusal reaches the caller as it is', async () => {
    await expect(other.removeSubscription(id, 'unknown')).rejects.toMatchObject({
      type: 'subscription-not-found',
      status: 404,
    });
    await expect(other.patchConnection(id, { clientId: 'another' })).rejects.toMatchObject({
      type: 'immutable-parameter',
      details: { errors: [{ pointer: '/clientId' }] },
    });
  });

  it('reading is possible anywhere, and a long poll elsewhere wakes up', async () => {
    const signal = new AbortController().signal;
    const reading = other.readMessages(id, {
      after: null,
      limit: 10,
      waitMs: 10_000,
      filter: null,
      drain: false,
      signal,
    });
    await publish(owner);
    expect((await reading).messages).toHaveLength(1);
  });

  it('after the owner has stopped the other one has it, without waiting for the lease, with its parameters of then', async () => {
    await owner.patchConnection(id, { keepAlive: 33 });
    const stopped = performance.now();
    await owner.stop();
    await until(async () => (await other.getConnection(id)).state === 'online', { what: 'online at the other' });
    expect(performance.now() - stopped).toBeLessThan(LEASE_TTL_MS);
    expect(await publish(other)).toMatchObject({ reasonCode: 0 });
    expect(await other.getConnection(id)).toMatchObject({ owner: 'n2', generation: 1, parameters: { keepAlive: 33 } });
    expect(broker.log()).toMatch(new RegExp(`as ${id} \\(p5, c0, k33`));
  });

  it('one that cannot renew its lease detaches before it ends, the other takes over, and neither fights', async () => {
    const cutOff = () => Promise.reject(new Error('cut off from the store'));
    owner.store.leases.renew = cutOff;
    owner.store.leases.acquire = cutOff;
    owner.store.schedule.take = cutOff;
    await until(async () => (await other.getConnection(id)).owner === 'n2', { what: 'the other owns it' });
    await until(async () => (await other.getConnection(id)).state === 'online', { what: 'online at the other' });
    expect(await publish(other)).toMatchObject({ reasonCode: 0 });
    expect(broker.log()).toContain(`Client ${id} disconnected.`);
    expect(broker.log()).not.toContain(`Client ${id} already connected`);
    expect(connects()).toBe(2);
  });

  it('a lease that was taken away ends the connection of the one before', async () => {
    const key = (await owner.store.connections.byId(id))?.key;
    if (key === undefined) throw new Error('there is no record');
    // As a process of the same name would, which replaces it.
    const lease = await owner.store.leases.acquire(key, { nodeId: 'n1', process: 'another' }, LEASE_TTL_MS);
    await broker.waitForLog(new RegExp(`Client ${id} disconnected\\.`));
    if ('epoch' in lease) await owner.store.leases.release(lease);
    expect(await publish(other)).toMatchObject({ reasonCode: 0 });
    expect(broker.log()).not.toContain(`Client ${id} already connected`);
  });

  it('one that was deleted elsewhere stays deleted', async () => {
    await owner.detachConnection(id, { sessionExpiryInterval: null, will: null });
    expect(await other.deleteConnection(id, { session: 'discard', will: null })).toBe('deleted');
    const before = connects();
    await expect(owner.attachConnection(id)).rejects.toMatchObject({ type: 'connection-not-found' });
    expect(await publish(owner).catch((problem) => problem)).toMatchObject({ type: 'connection-not-found' });
    expect(connects()).toBe(before);
  });
});
