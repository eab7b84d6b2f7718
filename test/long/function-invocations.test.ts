import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleForLambda, LAMBDA } from '../functions/lambda.ts';
import type { Answer } from '../helpers/bridge-process.ts';
import type { Instance } from '../helpers/fleet.ts';
import { pathOf, SCENE_WITHIN, type Scene, type SceneOptions, startScene } from '../helpers/fleet-scene.ts';
import { type FleetStore, startStandalone } from '../helpers/fleet-stores.ts';
import { type RawSubscriber, startSubscriber } from '../helpers/kill-subscriber.ts';
import { print, printTimes } from '../helpers/measured.ts';
import { until } from '../helpers/until.ts';

/** Invocations at the same time, in all processes together. */
const INVOCATIONS = 50;
/** Milliseconds that a publish stands in line at most, however busy another process is. */
const SERVED_WITHIN = 5_000;

beforeAll(bundleForLambda);

describe.each<[string, Pick<SceneOptions<FleetStore>, 'count' | 'program'>]>([
  ['5 processes in function mode', { count: 5 }],
  ['50 sandboxes of Lambda with the AWS bundle', { count: INVOCATIONS, program: LAMBDA }],
])(`${INVOCATIONS} invocations of one ClientID over %s`, (_, instances) => {
  let scene: Scene;
  let arrivals: RawSubscriber;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone, env: { BRIDGE_MODE: 'function' }, ...instances });
    arrivals = await startSubscriber(scene.broker.port, 'judge', 'out/#');
    // What is loaded at a first publish takes longer than all that follows, on processors that 50 processes share.
    for (const { nodeId, request } of scene.fleet.instances) {
      expect((await request('PUT', pathOf(`of-${nodeId}`), { json: {} })).status).toBe(201);
    }
  }, SCENE_WITHIN);
  afterAll(async () => {
    arrivals?.stop();
    await scene?.stop();
  });

  const declare = async (id: string, more: object = {}) => {
    const json = { sessionExpiryInterval: 3_600, ...more };
    expect((await scene.fleet.request('PUT', pathOf(id), { json })).status).toBe(201);
  };
  const publish = (at: Pick<Instance, 'request'>, id: string, payload: string, qos: number): Promise<Answer<unknown>> =>
    at.request('POST', `${pathOf(id)}/publish`, { json: { topic: `out/${id}`, payload, qos } });
  const arrived = (id: string) =>
    arrivals.received.filter(({ topic }) => topic === `out/${id}`).map(({ payload }) => payload);

  it.each([
    ['stays warm', 'warm', {}],
    ['has a Will and a subscription', 'bound', { will: { topic: 'will/bound', payload: 'gone' }, ...subscribed }],
  ])(
    'a Connection that %s: all succeed or are told when to come back, and none takes over',
    async (_name, id, more) => {
      await declare(id, more);
      const since = performance.now();
      const times: number[] = [];
      const answers = await Promise.all(
        Array.from({ length: INVOCATIONS }, async (_unused, index) => {
          const askedAt = performance.now();
          const { status, headers } = await publish(scene.fleet, id, `${index}`, 1 + (index % 2));
          times.push(performance.now() - askedAt);
          return { payload: `${index}`, status, retryAfter: headers['retry-after'] };
        }),
      );
      printTimes(`${id}: waited`, times);
      print(`${id}: by decile, ms: ${deciles(times).join(' ')}`);
      for (const { status, retryAfter } of answers) {
        expect([200, 503]).toContain(status);
        if (status === 503) expect(Number(retryAfter)).toBeGreaterThan(0);
      }
      const served = answers.filter(({ status }) => status === 200).map(({ payload }) => payload);
      print(`${id}: ${served.length} of ${INVOCATIONS} succeeded`);
      expect(served.length).toBeGreaterThan(INVOCATIONS / 2);
      await until(() => served.every((payload) => arrived(id).includes(payload)), { what: 'all arrive' });
      const atQos2 = arrived(id).filter((payload) => Number(payload) % 2 === 1);
      expect(atQos2).toHaveLength(new Set(atQos2).size);
      // One that is warm and idle in another process costs nothing to lose, and may be closed by the first to connect.
      expect(scene.log.takeOvers(since).length).toBeLessThanOrEqual(id === 'warm' ? 1 : 0);
      expect(scene.wills.received).toEqual([]);
    },
  );

  // Lambda invokes one after the other in a process.
  if (instances.program !== undefined) return;
  it('requests that keep coming in one process do not keep those out that stand in line in another', async () => {
    await declare('busy', subscribed);
    const [busy, ...others] = scene.fleet.instances as [Instance, ...Instance[]];
    let going = true;
    let served = 0;
    const crowd = Array.from({ length: 8 }, async () => {
      while (going) served += Number((await publish(busy, 'busy', 'crowd', 1)).status === 200);
    });
    await until(() => served > 20, { what: 'the crowd is served' });
    const times = await Promise.all(
      others.map(async (other) => {
        const askedAt = performance.now();
        const { status, text } = await publish(other, 'busy', 'one', 1);
        expect(status, text).toBe(200);
        return performance.now() - askedAt;
      }),
    );
    going = false;
    await Promise.all(crowd);
    printTimes(`waited beside a crowd that was served ${served} times`, times);
    expect(Math.max(...times)).toBeLessThan(SERVED_WITHIN);
    expect(scene.log.of('busy', 'takenOver')).toEqual([]);
  });
});

const subscribed = { subscriptions: [{ filter: 'in/#', qos: 1 }] };

function deciles(times: readonly number[]): number[] {
  const sorted = times.toSorted((one, other) => one - other);
  return Array.from({ length: 11 }, (_, tenth) =>
    Math.round(sorted[Math.floor((tenth / 10) * (sorted.length - 1))] ?? 0),
  );
}
