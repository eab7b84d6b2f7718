import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Answer } from '../helpers/bridge-process.ts';
import type { Instance } from '../helpers/fleet.ts';
import {
  declare,
  ownerOf,
  parameters,
  pathOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  story,
  type View,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { type RawSubscriber, startSubscriber } from '../helpers/kill-subscriber.ts';
import { printTimes } from '../helpers/measured.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';
import type { Page } from '../helpers/traffic-consumer.ts';
import { until } from '../helpers/until.ts';

/** Bytes that the broker takes in a packet. */
const MAX_PACKET_SIZE = 20_000;
/** Milliseconds for a long poll to wake up. */
const WAKES_WITHIN = 2_000;

interface Result {
  readonly type?: string;
  readonly results?: readonly unknown[];
  readonly state?: string;
}

describe('any of three instances answers any request about a Connection', () => {
  let scene: Scene;
  let judge: RawSubscriber;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone, config: [`max_packet_size ${MAX_PACKET_SIZE}`] });
    judge = await startSubscriber(scene.broker.port, 'judge', 'out/#');
  }, SCENE_WITHIN);
  afterAll(async () => {
    judge?.stop();
    await scene?.stop();
  });

  /** What was published to `out/<id>/…`, in that order. */
  const arrived = (id: string) =>
    judge.received.filter(({ topic }) => topic.startsWith(`out/${id}/`)).map(({ payload }) => payload);
  const connects = (id: string) => scene.log.of(id, 'connected').length;
  const atAll = <T>(ask: (instance: Instance, index: number) => Promise<T>) =>
    Promise.all(scene.fleet.instances.map(ask));
  const view = async (instance: Instance, id: string) => (await instance.request<View>('GET', pathOf(id))).json;
  const publish = (instance: Instance, id: string, json: unknown, headers = {}) =>
    instance.request<Result>('POST', `${pathOf(id)}/publish`, { json, headers });

  /** Declares a Connection; answers its owner, and the two others. */
  async function opened(id: string): Promise<{ owner: Instance; one: Instance; other: Instance }> {
    await declare(scene.fleet, id);
    const owner = await ownerOf(scene, id);
    const [one, other] = scene.fleet.others(owner);
    if (one === undefined || other === undefined) throw new Error('unreachable');
    return { owner, one, other };
  }

  it.each([0, 1, 2])(
    'POST at instance %i: all show it online, with the same owner, after one CONNECT',
    async (index) => {
      const id = `posted-${index}`;
      const json = { id, ...parameters(id) };
      const answer = await scene.fleet.instances[index]?.request<View>('POST', '/v1/connections', { json });
      expect(answer?.json, answer?.text).toMatchObject({ state: 'online', generation: 1 });
      expect(answer?.status).toBe(201);
      const seen = await atAll((instance) => view(instance, id));
      expect(seen.map(({ state }) => state)).toEqual(['online', 'online', 'online']);
      expect(new Set(seen.map(({ owner }) => owner))).toEqual(new Set([answer?.json.owner]));
      expect(connects(id)).toBe(1);
    },
  );

  it.each([
    ['PUT', (id: string) => pathOf(id)],
    ['POST', () => '/v1/connections'],
  ])('%s at all of them at the same time makes one Connection, with one CONNECT', async (method, path) => {
    const id = `at-once-${method}`;
    const json = { id, ...parameters(id) };
    const answers = await atAll((instance) => instance.request<View>(method, path(id), { json }));
    expect(answers.map(({ status }) => status).toSorted(), answers.map(({ text }) => text).join('\n')).toEqual([
      200, 200, 201,
    ]);
    for (const { json } of answers) expect(json.state).toBe('online');
    expect(connects(id)).toBe(1);
  });

  it('a ClientID is taken for all of them', async () => {
    const { one } = await opened('taken');
    const answer = await one.request('PUT', pathOf('another'), { json: { clientId: 'taken' } });
    expect(answer).toMatchObject({ status: 409, json: { type: '/problems/client-id-in-use' } });
  });

  it('publish at any QoS, one or a batch, is answered as at the owner, and sent once, in order', async () => {
    const id = 'publisher';
    await opened(id);
    const topic = `out/${id}/x`;
    const seen: string[] = [];
    for (const [at, instance] of scene.fleet.instances.entries()) {
      for (const qos of [0, 1, 2]) {
        const payload = `${qos} at ${at}`;
        const answer = await publish(instance, id, { topic, payload, qos });
        expect(answer.status, answer.text).toBe(qos === 0 ? 202 : 200);
        if (qos > 0) expect(answer.json).toMatchObject({ qos, reasonCode: 0 });
        seen.push(payload);
      }
      const batch = Array.from({ length: 30 }, (_, index) => ({ topic, payload: `${index} of ${at}`, qos: 2 }));
      const { json } = await publish(instance, id, [...batch, { topic: 'not/#/valid', payload: '', qos: 1 }]);
      expect(json.results).toHaveLength(31);
      expect(json.results?.at(-1)).toMatchObject({ status: 400 });
      seen.push(...batch.map(({ payload }) => payload));
    }
    await until(() => arrived(id).length >= seen.length, { what: 'all arrive' });
    expect(arrived(id)).toEqual(seen);
    expect(connects(id)).toBe(1);
  });

  it('a refusal of the broker is the same problem everywhere', async () => {
    const id = 'refused';
    const { owner, one } = await opened(id);
    const tooMuch = { topic: `out/${id}/x`, payload: 'x'.repeat(MAX_PACKET_SIZE), qos: 1 };
    const expected = await publish(owner, id, tooMuch);
    expect(expected).toMatchObject({ status: 422, json: { type: '/problems/broker-refused' } });
    expect(await publish(one, id, tooMuch)).toMatchObject({ status: 422, json: expected.json });
  });

  it('with an Idempotency-Key a publish is sent once, wherever it is repeated', async () => {
    const id = 'keyed';
    const { one } = await opened(id);
    const json = { topic: `out/${id}/x`, payload: 'once', qos: 2 };
    const headers = { 'idempotency-key': 'order 4711' };
    const answers = await atAll((instance) => publish(instance, id, json, headers));
    for (const { status, text } of answers) {
      if (status !== 200) expect([status, text]).toEqual([409, expect.stringContaining('/problems/still-running')]);
    }
    expect(answers.filter(({ status, headers }) => status === 200 && !headers['idempotency-replayed'])).toHaveLength(1);
    for (const instance of scene.fleet.instances) {
      const replay = await publish(instance, id, json, headers);
      expect(replay).toMatchObject({ status: 200, json: { qos: 2, reasonCode: 0 } });
      expect(replay.headers['idempotency-replayed']).toBe('true');
    }
    for (const instance of scene.fleet.instances) {
      const reused = await publish(instance, id, { ...json, payload: 'twice' }, headers);
      expect(reused).toMatchObject({ status: 422, json: { type: '/problems/idempotency-key-reused' } });
    }
    await publish(one, id, { ...json, payload: 'last' });
    await until(() => arrived(id).includes('last'), { what: 'the last one' });
    expect(arrived(id)).toEqual(['once', 'last']);
  });

  it('queued anywhere (Prefer: respond-async), the outcome is found everywhere', async () => {
    const id = 'queued';
    const { one } = await opened(id);
    const json = { topic: `out/${id}/x`, payload: 'later', qos: 2 };
    const answer = await publish(one, id, json, { prefer: 'respond-async' });
    expect(answer.status, answer.text).toBe(202);
    const outcomes = () => atAll((instance) => instance.request<Result>('GET', String(answer.headers.location)));
    const done = async () => {
      const found = await outcomes();
      return found.every(({ json }) => json.state === 'done') ? found : null;
    };
    for (const { json } of await until(done, { what: 'done' })) {
      expect(json).toMatchObject({ result: { qos: 2, reasonCode: 0 } });
    }
    expect(arrived(id)).toEqual(['later']);
  });

  it('long polls wake up at all of them', async () => {
    const id = 'polled';
    await opened(id);
    let published = 0;
    const polls = atAll(async (instance) => {
      const page = await instance.request<Page>('GET', `${pathOf(id)}/messages?wait=20`);
      return { page, ms: performance.now() - published };
    });
    // Each poll is to be waiting by then: what an instance was asked after it, it answers after it.
    await atAll((instance) => view(instance, id));
    published = performance.now();
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-m', 'wake', '-q', '1']);
    const woken = await polls;
    for (const { page } of woken) expect(page.json.messages.map(({ payload }) => payload)).toEqual(['wake']);
    printTimes(
      'published until long polls were answered',
      woken.map(({ ms }) => ms),
    );
    expect(Math.max(...woken.map(({ ms }) => ms))).toBeLessThan(WAKES_WITHIN);
  });

  it('the queue is the same for all: read here, removed there', async () => {
    const id = 'read';
    const { one, other } = await opened(id);
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-q', '1', '-l'], { stdin: '1\n2\n3\n4\n5\n' });
    await until(async () => (await view(one, id)).queue.depth === 5, { what: 'five messages' });
    const pages = await atAll((instance) => instance.request<Page>('GET', `${pathOf(id)}/messages`));
    for (const { json } of pages) expect(json).toMatchObject(pages[0]?.json ?? {});
    const through = encodeURIComponent(pages[0]?.json.messages[2]?.id ?? '');
    const removal = await other.request('DELETE', `${pathOf(id)}/messages?through=${through}`);
    expect(removal).toMatchObject({ status: 200, json: { removed: 3 } });
    const left = await atAll((instance) => instance.request<Page>('GET', `${pathOf(id)}/messages`));
    for (const { json } of left) expect(json.messages.map(({ payload }) => payload)).toEqual(['4', '5']);
  });

  it('subscribe here, unsubscribe there', async () => {
    const id = 'subscriber';
    const { one, other } = await opened(id);
    const json = { filter: `${id}/more`, qos: 2 };
    const subscribed = await one.request('POST', `${pathOf(id)}/subscriptions`, { json });
    expect(subscribed.json, subscribed.text).toMatchObject({ results: [{ ...json, granted: { qos: 2 } }] });
    const filters = () =>
      atAll(async (instance) => {
        const { text } = await instance.request('GET', `${pathOf(id)}/subscriptions`);
        return text.includes(json.filter);
      });
    expect(await filters()).toEqual([true, true, true]);
    await mosquittoPub(scene.broker, ['-t', `${id}/more`, '-m', 'x', '-q', '2']);
    await until(async () => (await view(other, id)).queue.depth === 1, { what: 'the message' });
    const query = `filter=${encodeURIComponent(json.filter)}`;
    const removed = await other.request('DELETE', `${pathOf(id)}/subscriptions?${query}`);
    expect(removed.status, removed.text).toBeLessThan(300);
    expect(await filters()).toEqual([false, false, false]);
    await mosquittoPub(scene.broker, ['-t', `${id}/more`, '-m', 'not wanted', '-q', '2']);
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-m', 'wanted', '-q', '1']);
    await until(async () => (await view(one, id)).queue.depth > 1, { what: 'another message' });
    const { json: page } = await one.request<Page>('GET', `${pathOf(id)}/messages`);
    expect(page.messages.map(({ payload }) => payload)).toEqual(['x', 'wanted']);
    expect(connects(id)).toBe(1);
  });

  it('changes anywhere take effect, and reconnect only where they must', async () => {
    const id = 'changed';
    const { owner, one, other } = await opened(id);
    const merge = (instance: Instance, json: object) =>
      instance.request('PATCH', pathOf(id), {
        body: JSON.stringify(json),
        headers: { 'content-type': 'application/merge-patch+json' },
      });
    const queue = { maxMessages: 7, maxBytes: 1_000_000, maxAge: 3_600, overflow: 'dropOldest' };
    expect((await merge(one, { queue })).status).toBe(200);
    const again = await other.request('PUT', pathOf(id), { json: { ...parameters(id), queue } });
    expect(again.status, again.text).toBe(200);
    expect(connects(id)).toBe(1);
    const changedAt = performance.now();
    const patched = await merge(other, { keepAlive: 33 });
    expect(patched.json, patched.text).toMatchObject({ state: 'online', owner: owner.nodeId });
    expect(story(scene.log, id, changedAt)).toBe('disconnected, connected');
    for (const shown of await atAll((instance) => instance.request('GET', pathOf(id)))) {
      expect(shown.json).toMatchObject({ state: 'online', generation: 1, parameters: { keepAlive: 33, queue } });
    }
  });

  it('detach here, attach there; a publish anywhere attaches too', async () => {
    const id = 'detached';
    const { one, other } = await opened(id);
    const post = (instance: Instance, verb: string): Promise<Answer<View>> =>
      instance.request('POST', `${pathOf(id)}/${verb}`, { json: {} });
    expect((await post(one, 'detach')).json).toMatchObject({ state: 'parked' });
    for (const shown of await atAll((instance) => view(instance, id))) {
      expect(shown).toMatchObject({ state: 'parked', owner: null });
    }
    expect((await post(other, 'attach')).json).toMatchObject({ state: 'online', generation: 1 });
    expect(connects(id)).toBe(2);
    await post(other, 'detach');
    expect((await publish(one, id, { topic: `out/${id}/x`, payload: 'awake', qos: 1 })).status).toBe(200);
    expect(connects(id)).toBe(3);
    await until(() => arrived(id).includes('awake'), { what: 'the message' });
  });

  it('DELETE anywhere ends it for all, and its session at the broker', async () => {
    const id = 'deleted';
    const { one } = await opened(id);
    expect((await one.request('DELETE', pathOf(id))).status).toBe(204);
    expect(await atAll(async (instance) => (await instance.request('GET', pathOf(id))).status)).toEqual([
      404, 404, 404,
    ]);
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-m', 'to nobody', '-q', '1']);
    const successor = await startSubscriber(scene.broker.port, id, `${id}/after`);
    await mosquittoPub(scene.broker, ['-t', `${id}/after`, '-m', 'after', '-q', '1']);
    await until(() => successor.received.length > 0, { what: 'a message to another client with that ClientID' });
    expect(successor.received.map(({ payload }) => payload)).toEqual(['after']);
    successor.stop();
    expect(connects(id)).toBe(2);
  });

  it('and the broker saw no ClientID taken over, and no Will', () => {
    expect(scene.log.takeOvers()).toEqual([]);
    expect(scene.wills.received).toEqual([]);
  });
});
