import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectFaultless } from '../helpers/expect-faultless.ts';
import { LEASE_TTL_MS } from '../helpers/fleet.ts';
import {
  declareMany,
  SCENE_WITHIN,
  type Scene,
  startScene,
  story,
  untilAllOnline,
  untilSettled,
  untilStory,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { startFleetTraffic } from '../helpers/fleet-traffic.ts';
import type { Traffic } from '../helpers/kill-traffic.ts';
import { printTimes } from '../helpers/measured.ts';

type Standalone = Awaited<ReturnType<typeof startStandalone>>;

/** Beside the one with the traffic. */
const CONNECTIONS = 8;
/** Messages that go each way before something breaks, and after. */
const ENOUGH = 100;
/** Milliseconds for all to be online again and messages to flow once Redis answers. */
const RECOVERED = 15_000;
/** At the broker: back once, and perhaps on its way to another instance then. */
const HANDED_ON = /^disconnected, connected(, disconnected, connected)*$/;

describe('three instances whose Redis, with appendfsync always, is killed while messages flow in both directions', () => {
  let scene: Scene<Standalone>;
  let traffic: Traffic;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone });
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
  }, SCENE_WITHIN);
  afterAll(() => scene?.stop());
  afterEach(() => traffic?.stop());

  async function begin(id: string): Promise<void> {
    traffic = await startFleetTraffic(scene, id);
    await traffic.flows(ENOUGH);
  }

  it('and started again at once: nothing acknowledged is lost, and nobody is taken over', async () => {
    await begin('busy');
    await scene.store.redis.kill();
    await scene.store.redis.start();
    await expectRecovery();
  }, 60_000);

  it('and started again when all leases have ended: all have detached before that, and come back once', async () => {
    const { log, store } = scene;
    await begin('busy-too');
    const ids = [...(await untilSettled(scene)).keys()];
    const killedAt = performance.now();
    await store.redis.kill();
    await pause(LEASE_TTL_MS + 500);
    for (const id of ids) expect(story(log, id, killedAt), id).toBe('disconnected');
    const detached = ids.map((id) => (log.of(id, 'disconnected').find(({ at }) => at > killedAt)?.at ?? 0) - killedAt);
    printTimes('Redis killed until detached', detached);
    expect(Math.max(...detached)).toBeLessThan(LEASE_TTL_MS);
    await store.redis.start();
    await expectRecovery();
    await untilStory(log, ids, killedAt, HANDED_ON);
  }, 60_000);

  async function expectRecovery(): Promise<void> {
    const startedAt = performance.now();
    await traffic.flows(ENOUGH, RECOVERED);
    printTimes('Redis started until messages flow', [performance.now() - startedAt]);
    await untilAllOnline(scene.fleet, RECOVERED);
    printTimes('Redis started until all are online', [performance.now() - startedAt]);
    await expectFaultless(traffic);
    expect(scene.log.takeOvers()).toEqual([]);
  }
});
