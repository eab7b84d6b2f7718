import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KeptAnswer, PublishResult } from '../../src/bridge/facade.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { createTestBridge, message, type TestBridge } from '../helpers/bridge.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';

const BROKER = 'default';
const LEASE_TTL_MS = 1_500;
const NODES = ['n1', 'n2', 'n3'];

describe('publishing without a Connection at several instances on one Redis', () => {
  let broker: Mosquitto;
  let redis: RedisServer;
  let bridges: TestBridge[];
  let count = 0;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    count += 1;
    broker = await startMosquitto();
    bridges = await Promise.all(NODES.map(instance));
  });
  afterEach(async () => {
    await Promise.all(bridges.map((bridge) => bridge.end()));
    await broker.stop();
  });

  async function instance(nodeId: string): Promise<TestBridge> {
    const store = await openRedisStore({ url: redis.url, prefix: `slots-${count}`, nodeId });
    const bridge = await createTestBridge({ url: broker.url, store, nodeId, leaseTtlMs: LEASE_TTL_MS });
    await bridge.start();
    return bridge;
  }

  function publish(bridge: TestBridge): Promise<PublishResult[]> {
    return bridge.publishPooled(BROKER, [{ message: message('pool/a', 'x', 1), timeoutMs: 5_000 }]);
  }

  function kept(bridge: TestBridge, idempotencyKey: string): Promise<KeptAnswer> {
    const items = [{ message: message('pool/a', Buffer.from([0, 255]), 2), timeoutMs: 5_000 }];
    const request = { items, batch: false, respondAsync: false, idempotencyKey, fingerprint: 'f' };
    return bridge.publishPooledKept(BROKER, request);
  }

  /** ClientIDs of publishers in the order of their CONNECTs. */
  const connects = () =>
    [...broker.log().matchAll(/New client connected from \S+ as (\w{22}) /g)].map(([, clientId]) => clientId);

  it('no two meet on one ClientID', async () => {
    const rounds = Array.from({ length: 5 }, () => bridges.map(publish)).flat();
    for (const [result] of await Promise.all(rounds)) expect(result).toMatchObject({ qos: 1 });
    expect(connects()).toHaveLength(NODES.length);
    expect(new Set(connects()).size).toBe(NODES.length);
    expect(broker.log()).not.toMatch(/already connected, closing old connection/);
  });

  it('a repeat with the same key finds the first at any instance, and goes through one publisher', async () => {
    const [one, ...others] = bridges as [TestBridge, ...TestBridge[]];
    expect(await kept(one, 'k')).toMatchObject({ replayed: false, results: [{ qos: 2, reasonCode: 0 }] });
    for (const bridge of others) {
      expect(await kept(bridge, 'k')).toMatchObject({ replayed: true, results: [{ qos: 2, reasonCode: 0 }] });
    }
    expect(connects()).toHaveLength(1);
  });

  it('repeats that come at the same time publish once', async () => {
    const answers = await Promise.allSettled(bridges.map((bridge) => kept(bridge, 'same')));
    const done = answers.filter((answer) => answer.status === 'fulfilled').map(({ value }) => value);
    expect(done.filter(({ replayed }) => !replayed)).toHaveLength(1);
    const refused = answers.filter((answer) => answer.status === 'rejected').map(({ reason }) => reason);
    for (const problem of refused) expect(problem).toMatchObject({ type: 'still-running' });
  });

  it('a slot of an instance that has stopped is free for the next, with its ClientID; a recorded outcome stays', async () => {
    const [one, two] = bridges as [TestBridge, TestBridge, TestBridge];
    await publish(one);
    await kept(one, 'stays');
    const [home, keyed] = connects();
    await one.stop();
    await broker.waitForLog(new RegExp(`Client ${home} disconnected`));
    await publish(two);
    expect(connects().at(-1)).toBe(home);
    expect(await kept(two, 'stays')).toMatchObject({ replayed: true });
    expect(connects()).toEqual([home, keyed, home]);
  });
});
