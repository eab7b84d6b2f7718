import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Clocks, startClocks } from '../helpers/clocks.ts';
import { expectFaultless } from '../helpers/expect-faultless.ts';
import { type Instance, LEASE_TTL_MS } from '../helpers/fleet.ts';
import {
  declareMany,
  SCENE_WITHIN,
  type Scene,
  startScene,
  story,
  untilAllOnline,
  untilStory,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { settledOwner, startFleetTraffic } from '../helpers/fleet-traffic.ts';
import type { Traffic } from '../helpers/kill-traffic.ts';
import { printTimes } from '../helpers/measured.ts';

/** Beside the one with the traffic. */
const CONNECTIONS = 5;
/** Messages that go each way before something happens, and after. */
const ENOUGH = 50;
const HOUR = 3_600_000;

describe('a wall clock that is set while messages flow in both directions', () => {
  let scene: Scene;
  let clocks: Clocks;
  let traffic: Traffic;
  beforeAll(async () => {
    clocks = startClocks();
    scene = await startScene({ startStore: startStandalone, count: 2, env: clocks.env });
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
  }, SCENE_WITHIN);
  afterEach(() => traffic?.stop());
  afterAll(() => scene?.stop());

  /** Answers the owner of the Connection with the traffic, and what it owns. */
  async function begin(id: string): Promise<{ owner: Instance; owned: string[] }> {
    traffic = await startFleetTraffic(scene, id);
    return await settledOwner(scene, traffic, { id, enough: ENOUGH });
  }

  async function expectNothingLost(): Promise<void> {
    await traffic.flows(ENOUGH);
    await expectFaultless(traffic);
    const all = await untilAllOnline(scene.fleet);
    for (const view of all.values()) expect(view).toMatchObject({ generation: 1 });
    expect(scene.log.takeOvers()).toEqual([]);
    expect(scene.wills.received).toEqual([]);
  }

  it('back by an hour: leases are kept by the monotonic clock, and nobody notices', async () => {
    const { owner, owned } = await begin('back');
    const setAt = performance.now();
    clocks.set(owner.nodeId, -HOUR);
    while (performance.now() - setAt < LEASE_TTL_MS * 2) await traffic.flows(ENOUGH);
    for (const id of owned) expect(story(scene.log, id, setAt), id).toBe('');
    await expectNothingLost();
  }, 60_000);

  it('forward by an hour, which is as if the machine had slept: it detaches, and comes back, here or there', async () => {
    const { owner, owned } = await begin('forward');
    const setAt = performance.now();
    clocks.set(owner.nodeId, HOUR);
    await traffic.flows(ENOUGH);
    await untilStory(scene.log, owned, setAt, /^(disconnected, connected)+$/);
    await untilAllOnline(scene.fleet);
    printTimes('set until all were online', [performance.now() - setAt]);
    await expectNothingLost();
  }, 60_000);
});
