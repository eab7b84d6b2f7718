import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const LEASE_TTL_MS = 1_500;
const NOT_OWNER = { type: 'not-owner', status: 503, details: { retryAfter: expect.any(Number) } };

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
    const store = await openRedisStore({ url: redis.url, prefix: 'two', nodeId });
    const bridge = await createTestBridge({ url: broker.url, store, nodeId, leaseTtlMs: LEASE_TTL_MS });
    await bridge.start();
    return bridge;
  }

  beforeEach(async () => {
    count += 1;
    id = `two-${count}`;
    [owner, other] = await Promise.all([instance('n1'), instance('n2')]);
    await owner.declareConnection(id, valid(document()));
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

  it('what needs the owner is a 503 elsewhere, at once, and changes nothing', async () => {
    expect(await publish(other)).toMatchObject(NOT_OWNER);
    const changes = [
      () => other.attachConnection(id),
      () => other.detachConnection(id, { sessionExpiryInterval: null, will: null }),
      () => other.declareConnection(id, valid(document({ keepAlive: 30 }))),
      () => other.patchConnection(id, { keepAlive: 30 }),
      () => other.addSubscriptions(id, [{ filter: 'more', qos: 0 }]),
      () => other.removeSubscription(id, `${id}/#`),
      () => other.deleteConnection(id, { session: 'discard', will: null }),
    ];
    for (const change of changes) await expect(change()).rejects.toMatchObject(NOT_OWNER);
    expect(await owner.getConnection(id)).toMatchObject({
      state: 'online',
      parameters: { keepAlive: 60 },
      subscriptions: [{ filter: `${id}/#` }],
    });
    expect(await publish(owner)).toMatchObject({ reasonCode: 0 });
    expect(connects()).toBe(1);
  });

  it('reading is possible anywhere, and a long poll elsewhere wakes up', async () => {
    const signal = new AbortController().signal;
    const reading = other.readMessages(id, { after: null, limit: 10, waitMs: 10_000, filter: null, signal });
    await publish(owner);
    expect((await reading).messages).toHaveLength(1);
  });

  it('after the owner has stopped the next that is asked takes over, with the parameters as they are by then', async () => {
    await owner.patchConnection(id, { keepAlive: 33 });
    await owner.stop();
    expect(await publish(other)).toMatchObject({ reasonCode: 0 });
    expect(await other.getConnection(id)).toMatchObject({
      state: 'online',
      owner: 'n2',
      generation: 1,
      parameters: { keepAlive: 33 },
    });
    expect(broker.log()).toMatch(new RegExp(`as ${id} \\(p5, c0, k33`));
  });

  it('one whose lease ended does not come back to fight the owner: a hand-over is no take-over', async () => {
    owner.store.leases.renew = () => Promise.reject(new Error('cut off from the store'));
    const published = await until(
      async () => {
        const result = await publish(other);
        return result !== undefined && 'qos' in result ? result : null;
      },
      { what: 'the lease has ended' },
    );
    expect(published).toMatchObject({ reasonCode: 0 });
    await broker.waitForLog(new RegExp(`Client ${id} already connected, closing old connection`));
    expect(await publish(other)).toMatchObject({ reasonCode: 0 });
    expect(await publish(owner)).toMatchObject(NOT_OWNER);
    expect(await owner.getConnection(id)).toMatchObject({ owner: 'n2', state: 'online' });
    expect(connects()).toBe(2);
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
