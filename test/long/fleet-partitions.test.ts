import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectFaultless } from '../helpers/expect-faultless.ts';
import { FAIL_OVER_MS, type Instance, LEASE_TTL_MS } from '../helpers/fleet.ts';
import {
  connectedSince,
  declareMany,
  ownedBy,
  pathOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  story,
  untilAllOnline,
  untilStory,
  type View,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { settledOwner, startFleetTraffic } from '../helpers/fleet-traffic.ts';
import { startSubscriber } from '../helpers/kill-subscriber.ts';
import type { Traffic } from '../helpers/kill-traffic.ts';
import { printTimes } from '../helpers/measured.ts';
import { until } from '../helpers/until.ts';

/** Beside the one with the traffic. */
const CONNECTIONS = 8;
/** Messages that go each way before something breaks, and after. */
const ENOUGH = 50;
/** Milliseconds after which a call is not begun any more, and a bit. */
const CALL_MS = 3_500;
/** Milliseconds that a Connection may wait by then before it tries again: each failure doubled its pause. */
const BACKED_OFF = 30_000;

describe('an instance that is cut off while messages flow in both directions', () => {
  let scene: Scene;
  let traffic: Traffic;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone, wired: true });
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
  }, SCENE_WITHIN);
  afterAll(() => scene?.stop());
  afterEach(() => traffic?.stop());

  /** Answers the owner of the Connection with the traffic, and what it owns. */
  async function begin(id: string): Promise<{ owner: Instance; owned: string[]; path: string }> {
    traffic = await startFleetTraffic(scene, id);
    return { ...(await settledOwner(scene, traffic, { id, enough: ENOUGH })), path: pathOf(id) };
  }

  it.each([
    ['its connections are closed', 'cut'],
    ['its packets are dropped', 'stall'],
  ] as const)(
    'from Redis (%s): it detaches before its lease ends, and only then others attach',
    async (_, how) => {
      const { fleet, log } = scene;
      const { owner, owned, path } = await begin(how);
      const cutAt = performance.now();
      scene.wiresOf(owner).redis[how]();
      printTimes('cut off until online elsewhere', await connectedSince(log, owned, cutAt, FAIL_OVER_MS));
      await untilStory(log, owned, cutAt, /^disconnected, connected$/);
      const detached = owned.map((id) => (log.of(id, 'disconnected').find(({ at }) => at > cutAt)?.at ?? 0) - cutAt);
      printTimes('cut off until detached', detached);
      expect(Math.max(...detached)).toBeLessThan(LEASE_TTL_MS);
      expect(log.takeOvers()).toEqual([]);
      const problem = { status: 503, json: { type: '/problems/store-unavailable' } };
      expect(await owner.request('GET', `${path}/messages`)).toMatchObject(problem);
      expect((await owner.request('GET', '/readyz')).status).toBe(503);

      const mendedAt = performance.now();
      scene.wiresOf(owner).redis.mend();
      await until(async () => (await owner.request('GET', '/readyz')).status === 200, { what: 'it is ready again' });
      printTimes('mended until ready', [performance.now() - mendedAt]);
      const json = { topic: 'elsewhere', payload: 'x', qos: 2 };
      const published = await owner.request('POST', `${path}/publish`, { json });
      expect(published.status, published.text).toBe(200);
      await traffic.flows(ENOUGH);
      await untilAllOnline(fleet);
      await expectFaultless(traffic);
      expect(log.takeOvers()).toEqual([]);
    },
    60_000,
  );

  it('from Redis, with a call to the owner on its way: that is not done when it arrives, long after its caller went on', async () => {
    const { owner, path } = await begin('late');
    const [other = owner] = scene.fleet.others(owner);
    const judge = await startSubscriber(scene.broker.port, 'judge-of-late', 'late/elsewhere');
    const publish = (at: Instance, payload: string) => {
      const json = { topic: 'late/elsewhere', payload, qos: 2, timeout: 1 };
      return at.request('POST', `${path}/publish`, { json });
    };
    const { redis } = scene.wiresOf(other);
    // From here on it knows the owner.
    expect((await publish(other, 'before')).status).toBe(200);
    redis.stall();
    const stalledAt = performance.now();
    expect(await publish(other, 'late')).toMatchObject({ status: 504, json: { type: '/problems/outcome-unknown' } });
    expect((await publish(owner, 'meanwhile')).status).toBe(200);
    await until(() => performance.now() - stalledAt > CALL_MS, { what: 'nobody waits for it', within: 2 * CALL_MS });
    redis.mend();
    await until(async () => (await other.request('GET', '/readyz')).status === 200, { what: 'it is ready again' });
    await until(async () => (await publish(other, 'after')).status === 200, { what: 'it calls again' });
    expect([...new Set(judge.received.map(({ payload }) => payload))]).toEqual(['before', 'meanwhile', 'after']);
    await judge.stop();
    await traffic.flows(ENOUGH);
    await expectFaultless(traffic);
    await untilAllOnline(scene.fleet);
  }, 60_000);

  it('from the broker: it stays the owner, says so, and comes back', async () => {
    const { fleet, log } = scene;
    const { owner, owned, path } = await begin('broker');
    const [other = owner] = fleet.others(owner);
    const cutAt = performance.now();
    scene.wiresOf(owner).broker.cut();
    const seen = async () => (await other.request<View>('GET', path)).json;
    await until(async () => (await seen()).state === 'offline', { what: 'offline' });
    const json = { topic: 'elsewhere', payload: 'x', qos: 1, timeout: 1 };
    const problem = { status: 502, json: { type: '/problems/broker-unreachable' } };
    expect(await other.request('POST', `${path}/publish`, { json })).toMatchObject(problem);
    await pause(LEASE_TTL_MS + 1_000);
    expect(await seen()).toMatchObject({ state: 'offline', owner: owner.nodeId });
    for (const id of owned) expect(story(log, id, cutAt), id).toBe('lost');

    const mendedAt = performance.now();
    scene.wiresOf(owner).broker.mend();
    printTimes('mended until online', await connectedSince(log, owned, mendedAt, BACKED_OFF));
    expect(ownedBy(await untilAllOnline(fleet), owner)).toEqual(expect.arrayContaining(owned));
    await traffic.flows(ENOUGH);
    await expectFaultless(traffic);
    expect(log.takeOvers()).toEqual([]);
  }, 60_000);
});
