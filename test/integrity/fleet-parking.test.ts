import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connectedSince,
  parameters,
  pathOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  type View,
  views,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { connectPublisher } from '../helpers/kill-publisher.ts';
import { startSubscriber } from '../helpers/kill-subscriber.ts';
import { FAULTLESS, judge, Sender } from '../helpers/ledger.ts';
import { print, printTimes } from '../helpers/measured.ts';
import { readToTheEnd } from '../helpers/traffic-consumer.ts';
import { until } from '../helpers/until.ts';

const INSTANCES = 3;
/** Attached Connections of each instance. */
const POOL_MAX = 2;
const CONNECTIONS = 20;
/** Seconds between two drains of a parked Connection. */
const DRAIN_INTERVAL = 2;
/** Milliseconds for all of them to have been drained, with a drain interval of 2 s. */
const DRAINED_WITHIN = 10_000;
/** Attached at the same time beside those of the pools: one that each instance drains, or attaches for a request. */
const MARGIN = INSTANCES;
/** Published to each Connection. */
const MESSAGES = 10;
/** Seconds that a session lives which only the keeper keeps alive. */
const SHORT_SESSION = 5;

describe(`${CONNECTIONS} persistent Connections where ${INSTANCES} instances have room for ${POOL_MAX} each`, () => {
  let scene: Scene;
  let ids: string[];
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone, count: INSTANCES, env: { POOL_MAX: String(POOL_MAX) } });
    ids = Array.from({ length: CONNECTIONS }, (_, index) => `many-${index}`);
    // Whether it is online by then or waits for room, its state tells.
    for (const id of ids) {
      const subscriptions = [1, 2].map((qos) => ({ filter: `${id}/in/${qos}`, qos }));
      const json = { ...parameters(id), drainInterval: DRAIN_INTERVAL, subscriptions };
      await scene.fleet.request('PUT', pathOf(id), { json });
    }
    await until(async () => [...(await views(scene.fleet)).values()].every(({ generation }) => generation === 1), {
      what: 'each has been attached once',
    });
  }, SCENE_WITHIN);
  afterAll(() => scene?.stop());

  const isOurs = (id: string) => ids.includes(id);
  const parked = async () => [...(await views(scene.fleet)).values()].filter(({ state }) => state === 'parked');

  it('are parked beyond that, without a Will', async () => {
    await until(async () => (await parked()).length >= CONNECTIONS - INSTANCES * POOL_MAX, { what: 'parked' });
    const declaredAt = performance.now();
    await until(() => ids.every((id) => scene.log.of(id, 'connected').length >= 2), {
      what: 'each has been drained',
      within: 20_000,
    });
    const most = scene.log.mostAttached(isOurs, declaredAt);
    print(`attached at the same time: ${most} at most`);
    expect(most).toBeLessThanOrEqual(INSTANCES * POOL_MAX + MARGIN);
    expect(scene.wills.received).toEqual([]);
    for (const { generation } of await parked()) expect(generation).toBe(1);
  }, 60_000);

  it('all get what is published to them: the keeper drains them', async () => {
    const publisher = await connectPublisher(scene.broker.port);
    const flows = ids.flatMap((id) =>
      ([1, 2] as const).map((qos) => ({ id, qos, sender: new Sender(`${id}/in/${qos}`) })),
    );
    const publishedAt = performance.now();
    for (const { qos, sender } of flows) {
      const payloads = sender.begin(MESSAGES);
      await Promise.all(payloads.map((payload) => publisher.publish(sender.name, payload, qos)));
      sender.acknowledge(payloads);
    }
    publisher.close();
    const depth = async () => [...(await views(scene.fleet)).values()].reduce((sum, { queue }) => sum + queue.depth, 0);
    await until(async () => (await depth()) >= flows.length * MESSAGES, {
      what: 'all are queued',
      within: DRAINED_WITHIN,
    });
    printTimes('published until all were queued', [performance.now() - publishedAt]);
    for (const id of ids) {
      const { messages } = await readToTheEnd(scene.fleet, pathOf(id));
      for (const { qos, sender } of flows.filter((flow) => flow.id === id)) {
        const received = messages.filter(({ topic }) => topic === sender.name).map(({ payload }) => payload);
        expect(judge({ ...sender, received, qos }), sender.name).toEqual(FAULTLESS);
      }
    }
    expect(scene.log.mostAttached(isOurs, publishedAt)).toBeLessThanOrEqual(INSTANCES * POOL_MAX + MARGIN);
  }, 60_000);

  it('a publish as a parked one attaches it, at any instance, and the least recently used makes room', async () => {
    const judging = await startSubscriber(scene.broker.port, 'judge', 'out/#');
    const since = performance.now();
    const payloads: string[] = [];
    for (const instance of scene.fleet.instances) {
      for (const { id } of (await parked()).slice(0, 3)) {
        const payload = `${id} at ${instance.nodeId}`;
        const publishedAt = performance.now();
        const json = { topic: 'out/x', payload, qos: 2 };
        const answer = await instance.request('POST', `${pathOf(id)}/publish`, { json });
        expect(answer.status, answer.text).toBe(200);
        await connectedSince(scene.log, [id], publishedAt - 1_000, 0);
        payloads.push(payload);
      }
    }
    await until(() => judging.received.length >= payloads.length, { what: 'all arrive' });
    expect(judging.received.map(({ payload }) => payload)).toEqual(payloads);
    judging.stop();
    expect(scene.log.mostAttached(isOurs, since)).toBeLessThanOrEqual(INSTANCES * POOL_MAX + MARGIN);
  }, 60_000);

  it('a parked session is renewed before it expires, however long the drain interval is', async () => {
    const short = { ...parameters('short', SHORT_SESSION), drainInterval: 3_600 };
    await scene.fleet.request<View>('PUT', pathOf('short'), { json: short });
    await until(() => scene.log.of('short', 'connected').length >= 4, {
      what: 'it has been renewed three times',
      within: 4 * SHORT_SESSION * 1_000,
    });
    expect((await scene.fleet.request<View>('GET', pathOf('short'))).json).toMatchObject({ generation: 1 });
  }, 60_000);

  it('and none of it was a take-over, or a Will', () => {
    expect(scene.log.takeOvers()).toEqual([]);
    expect(scene.wills.received).toEqual([]);
  });
});
