import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectFaultless } from '../helpers/expect-faultless.ts';
import { FAIL_OVER_MS, type Instance, LEASE_TTL_MS } from '../helpers/fleet.ts';
import {
  connectedSince,
  declareMany,
  ownedBy,
  ownerOf,
  pathOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  untilAllOnline,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { startFleetTraffic } from '../helpers/fleet-traffic.ts';
import { type RawSubscriber, startSubscriber } from '../helpers/kill-subscriber.ts';
import type { Traffic } from '../helpers/kill-traffic.ts';
import { print, printTimes } from '../helpers/measured.ts';
import { until } from '../helpers/until.ts';

/** Beside the one with the traffic. */
const CONNECTIONS = 11;
/** Messages that go each way before something happens, and after. */
const ENOUGH = 100;
/** What waits at the frozen instance: the QoS of each. */
const WAITING = [0, 0, 0, 0, 1, 2] as const;

describe('an owner that is frozen (SIGSTOP) while messages flow in both directions', () => {
  let scene: Scene;
  let traffic: Traffic;
  let judge: RawSubscriber;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone, wired: true });
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
    judge = await startSubscriber(scene.broker.port, 'judge-of-waiting', 'waiting/#');
  }, SCENE_WITHIN);
  afterAll(async () => {
    judge?.stop();
    await scene?.stop();
  });
  afterEach(async () => {
    for (const instance of scene?.fleet.instances ?? []) instance.thaw();
    await traffic?.stop();
  });

  async function begin(id: string): Promise<Instance> {
    traffic = await startFleetTraffic(scene, id);
    await traffic.flows(ENOUGH);
    return await ownerOf(scene, id);
  }

  it('for longer than its lease: it wakes up without sending, acknowledging, fighting, or reporting what it cannot know', async () => {
    const { fleet, log } = scene;
    const owner = await begin('busy');
    const before = await untilAllOnline(fleet);
    const lost = ownedBy(before, owner);
    const frozenAt = performance.now();
    owner.freeze();
    const waiting = Promise.all(WAITING.map((qos, index) => publishAt(owner, `${index}`, qos)));
    // When the test fails before it is awaited, that is what is to be read.
    waiting.catch(() => {});
    printTimes('frozen until online elsewhere', await connectedSince(log, lost, frozenAt, FAIL_OVER_MS));
    const after = await untilAllOnline(fleet);
    expect(ownedBy(after, owner)).toEqual([]);
    // The broker ends what the frozen one cannot: once for each.
    expect(log.takeOvers().toSorted()).toEqual(lost.toSorted());

    const thawedAt = performance.now();
    owner.thaw();
    const answers = await waiting;
    printTimes('thawed until all who waited were answered', [performance.now() - thawedAt]);
    print(`who waited was answered: ${answers.map(({ status }) => status).join(', ')}`);
    const done = answers.flatMap(({ status }, index) => (status === 200 || status === 202 ? [`${index}`] : []));
    await until(() => done.every((payload) => arrived().includes(payload)), { what: 'what was reported as done' });
    expect(await publishAt(owner, 'after', 2)).toMatchObject({ status: 200 });
    await traffic.flows(ENOUGH);
    expect(sentOverOldConnections(owner, frozenAt, thawedAt)).toEqual([]);
    expect(log.takeOvers()).toHaveLength(lost.length);

    await expectFaultless(traffic);
    for (const [index, { status, json }] of answers.entries()) {
      if (isNotSent(status, json?.type)) expect(arrived(), json?.type).not.toContain(`${index}`);
    }
    expect(arrived().filter((payload) => payload === 'after')).toHaveLength(1);
    const end = await untilAllOnline(fleet);
    for (const view of end.values()) expect(view).toMatchObject({ state: 'online', generation: 1 });
  }, 60_000);

  it('for less than its lease: it goes on, or another does, and nothing is lost', async () => {
    const { fleet, log } = scene;
    const owner = await begin('busy-too');
    const frozenAt = performance.now();
    owner.freeze();
    await pause(LEASE_TTL_MS / 2);
    owner.thaw();
    const thawedAt = performance.now();
    await traffic.flows(ENOUGH);
    printTimes('thawed until messages flow again', [performance.now() - thawedAt]);
    await untilAllOnline(fleet);
    await expectFaultless(traffic);
    expect(log.takeOvers(frozenAt)).toEqual([]);
  }, 60_000);

  const arrived = () => judge.received.map(({ payload }) => payload);

  function publishAt(instance: Instance, payload: string, qos: 0 | 1 | 2) {
    const json = { topic: 'waiting/x', payload, qos, timeout: 5 };
    return instance.request<{ type?: string }>('POST', `${pathOf('busy')}/publish`, { json });
  }

  /** Anything but DISCONNECT that an instance has sent since it woke up, over network connections from before. */
  function sentOverOldConnections(instance: Instance, frozenAt: number, thawedAt: number): string[] {
    const { sent } = scene.wiresOf(instance).broker;
    return sent
      .filter(({ at, connectedAt, cmd }) => at > thawedAt && connectedAt < frozenAt && cmd !== 'disconnect')
      .map(({ clientId, cmd }) => `${clientId}: ${cmd}`);
  }
});

function isNotSent(status: number, type = ''): boolean {
  return status >= 500 && type !== '/problems/outcome-unknown';
}
