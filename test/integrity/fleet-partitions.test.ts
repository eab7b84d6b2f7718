import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectFaultless } from '../helpers/expect-faultless.ts';
import { FAIL_OVER_MS, LEASE_TTL_MS } from '../helpers/fleet.ts';
import {
  connectedSince,
  declareMany,
  ownedBy,
  ownerOf,
  type Scene,
  startScene,
  story,
  untilAllOnline,
  type View,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { startTraffic, TRAFFIC_PATH, type Traffic } from '../helpers/kill-traffic.ts';
import { printTimes } from '../helpers/measured.ts';
import { until } from '../helpers/until.ts';

/** Beside the one with the traffic. */
const CONNECTIONS = 8;
/** Messages that go each way before something breaks, and after. */
const ENOUGH = 50;

describe('an instance that is cut off while messages flow in both directions', () => {
  let scene: Scene;
  let traffic: Traffic;
  beforeEach(async () => {
    scene = await startScene({ startStore: startStandalone, wired: true });
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
    traffic = await startTraffic(scene.broker, scene.fleet, { rest: 20, withKeys: true, consumes: true });
    await traffic.flows(ENOUGH);
  });
  afterEach(async () => {
    await traffic?.stop();
    await scene?.stop();
  });

  it.each([
    ['its connections are closed', 'cut'],
    ['its packets are dropped', 'stall'],
  ] as const)(
    'from Redis (%s): it detaches before its lease ends, and only then others attach',
    async (_, how) => {
      const { fleet, log } = scene;
      const before = await untilAllOnline(fleet);
      const owner = await ownerOf(scene, 'keeper');
      const given = ownedBy(before, owner);
      const cutAt = performance.now();
      scene.wiresOf(owner).redis[how]();
      printTimes('cut off until online elsewhere', await connectedSince(log, given, cutAt, FAIL_OVER_MS));
      for (const id of given) expect(story(log, id, cutAt), id).toBe('disconnected, connected');
      const detached = given.map((id) => (log.of(id, 'disconnected').at(-1)?.at ?? 0) - cutAt);
      printTimes('cut off until detached', detached);
      expect(Math.max(...detached)).toBeLessThan(LEASE_TTL_MS);
      expect(log.takeOvers()).toEqual([]);
      const problem = { status: 503, json: { type: '/problems/store-unavailable' } };
      expect(await owner.request('GET', `${TRAFFIC_PATH}/messages`)).toMatchObject(problem);
      expect((await owner.request('GET', '/readyz')).status).toBe(503);

      const mendedAt = performance.now();
      scene.wiresOf(owner).redis.mend();
      await until(async () => (await owner.request('GET', '/readyz')).status === 200, { what: 'it is ready again' });
      printTimes('mended until ready', [performance.now() - mendedAt]);
      const json = { topic: 'elsewhere', payload: 'x', qos: 2 };
      expect((await owner.request('POST', `${TRAFFIC_PATH}/publish`, { json })).status).toBe(200);
      await traffic.flows(ENOUGH);
      await untilAllOnline(fleet);
      await expectFaultless(traffic);
      expect(log.takeOvers()).toEqual([]);
    },
    60_000,
  );

  it('from the broker: it stays the owner, says so, and comes back', async () => {
    const { fleet, log } = scene;
    const before = await untilAllOnline(fleet);
    const owner = await ownerOf(scene, 'keeper');
    const [other = owner] = fleet.others(owner);
    const own = ownedBy(before, owner);
    const cutAt = performance.now();
    scene.wiresOf(owner).broker.cut();
    const seen = async () => (await other.request<View>('GET', TRAFFIC_PATH)).json;
    await until(async () => (await seen()).state === 'offline', { what: 'offline' });
    const json = { topic: 'elsewhere', payload: 'x', qos: 1, timeout: 1 };
    const problem = { status: 502, json: { type: '/problems/broker-unreachable' } };
    expect(await other.request('POST', `${TRAFFIC_PATH}/publish`, { json })).toMatchObject(problem);
    await pause(LEASE_TTL_MS + 1_000);
    expect(await seen()).toMatchObject({ state: 'offline', owner: owner.nodeId });
    for (const id of own) expect(story(log, id, cutAt), id).toBe('lost');

    const mendedAt = performance.now();
    scene.wiresOf(owner).broker.mend();
    printTimes('mended until online', await connectedSince(log, own, mendedAt, 10_000));
    expect(ownedBy(await untilAllOnline(fleet), owner)).toEqual(expect.arrayContaining(own));
    await traffic.flows(ENOUGH);
    await expectFaultless(traffic);
    expect(log.takeOvers()).toEqual([]);
  }, 60_000);
});
