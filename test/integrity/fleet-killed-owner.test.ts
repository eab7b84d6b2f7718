import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectFaultless } from '../helpers/expect-faultless.ts';
import { FAIL_OVER_MS } from '../helpers/fleet.ts';
import {
  connectedSince,
  declareMany,
  loads,
  ownedBy,
  ownerOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  untilAllOnline,
  untilStory,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { startFleetTraffic } from '../helpers/fleet-traffic.ts';
import type { Traffic } from '../helpers/kill-traffic.ts';
import { print, printTimes } from '../helpers/measured.ts';

/** Beside the one with the traffic. */
const CONNECTIONS = 23;
/** Messages that go each way before something breaks, and after. */
const ENOUGH = 100;
/** At the broker, with hand-overs between those that live. */
const LOST_ONCE = /^lost, connected(, disconnected, connected)*$/;
const NOT_LOST = /^((, )?disconnected, connected)*$/;

describe('an owner that is killed (kill -9) while messages flow in both directions', () => {
  let scene: Scene;
  let traffic: Traffic;
  beforeEach(async () => {
    scene = await startScene({ startStore: startStandalone });
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
    traffic = await startFleetTraffic(scene);
    await traffic.flows(ENOUGH);
  }, SCENE_WITHIN);
  afterEach(async () => {
    await traffic?.stop();
    await scene?.stop();
  });

  it('has its Connections online at the others within the lease time and 5 s, and nothing acknowledged is lost', async () => {
    const { fleet, log } = scene;
    const before = await untilAllOnline(fleet);
    const owner = await ownerOf(scene, 'keeper');
    const orphans = ownedBy(before, owner);
    const killedAt = performance.now();
    await owner.kill();
    printTimes('killed until online elsewhere', await connectedSince(log, orphans, killedAt, FAIL_OVER_MS));

    const after = await untilAllOnline(fleet);
    print(`owners before: ${JSON.stringify(loads(before))}, after: ${JSON.stringify(loads(after))}`);
    expect(ownedBy(after, owner)).toEqual([]);
    // They went to whoever had less to do: none has much more than its half, unless it had that already.
    const half = after.size / 2 + Math.max(1, orphans.length / 4);
    for (const survivor of fleet.others(owner)) {
      const [had, has] = [before, after].map((all) => ownedBy(all, survivor).length) as [number, number];
      expect(has, survivor.nodeId).toBeLessThanOrEqual(Math.max(had, half));
    }
    await traffic.flows(ENOUGH);
    await expectFaultless(traffic);
    await untilStory(log, [...before.keys()], killedAt, (id) => (orphans.includes(id) ? LOST_ONCE : NOT_LOST));
    expect(log.takeOvers()).toEqual([]);
  }, 60_000);

  it('and started again at once: each Connection comes back once, here or there', async () => {
    const { fleet, log } = scene;
    const before = await untilAllOnline(fleet);
    const owner = await ownerOf(scene, 'keeper');
    const orphans = ownedBy(before, owner);
    const killedAt = performance.now();
    await owner.kill();
    const [times] = await Promise.all([connectedSince(log, orphans, killedAt, FAIL_OVER_MS), owner.start()]);
    printTimes('killed and started again until online', times);
    await untilAllOnline(fleet);
    await traffic.flows(ENOUGH);
    await expectFaultless(traffic);
    expect(log.takeOvers()).toEqual([]);
    expect((await owner.request('GET', '/v1/connections/keeper')).status).toBe(200);
  }, 60_000);
});
