import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Instance } from '../helpers/fleet.ts';
import { atAll, opened, pathOf, SCENE_WITHIN, type Scene, startScene, viewAt } from '../helpers/fleet-scene.ts';
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

describe('any of three instances takes and gives the messages of a Connection', () => {
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
  const publish = (instance: Instance, id: string, json: unknown, headers = {}) =>
    instance.request<Result>('POST', `${pathOf(id)}/publish`, { json, headers });

  it('publish at any QoS, one or a batch, is answered as at the owner, and sent once, in order', async () => {
    const id = 'publisher';
    await opened(scene, id);
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
    expect(scene.log.of(id, 'connected')).toHaveLength(1);
  });

  it('a refusal of the broker is the same problem everywhere', async () => {
    const id = 'refused';
    const { owner, one } = await opened(scene, id);
    const tooMuch = { topic: `out/${id}/x`, payload: 'x'.repeat(MAX_PACKET_SIZE), qos: 1 };
    const expected = await publish(owner, id, tooMuch);
    expect(expected).toMatchObject({ status: 422, json: { type: '/problems/broker-refused' } });
    expect(await publish(one, id, tooMuch)).toMatchObject({ status: 422, json: expected.json });
  });

  it('with an Idempotency-Key a publish is sent once, wherever it is repeated', async () => {
    const id = 'keyed';
    const { one } = await opened(scene, id);
    const json = { topic: `out/${id}/x`, payload: 'once', qos: 2 };
    const headers = { 'idempotency-key': 'order 4711' };
    const answers = await atAll(scene, (instance) => publish(instance, id, json, headers));
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
    const { one } = await opened(scene, id);
    const json = { topic: `out/${id}/x`, payload: 'later', qos: 2 };
    const answer = await publish(one, id, json, { prefer: 'respond-async' });
    expect(answer.status, answer.text).toBe(202);
    const outcomes = () => atAll(scene, (instance) => instance.request<Result>('GET', String(answer.headers.location)));
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
    await opened(scene, id);
    let published = 0;
    const polls = atAll(scene, async (instance) => {
      const page = await instance.request<Page>('GET', `${pathOf(id)}/messages?wait=20`);
      return { page, ms: performance.now() - published };
    });
    // Each poll is to be waiting by then: what an instance was asked after it, it answers after it.
    await atAll(scene, (instance) => viewAt(instance, id));
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
    const { one, other } = await opened(scene, id);
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-q', '1', '-l'], { stdin: '1\n2\n3\n4\n5\n' });
    await until(async () => (await viewAt(one, id)).queue.depth === 5, { what: 'five messages' });
    const pages = await atAll(scene, (instance) => instance.request<Page>('GET', `${pathOf(id)}/messages`));
    for (const { json } of pages) expect(json).toMatchObject(pages[0]?.json ?? {});
    const through = encodeURIComponent(pages[0]?.json.messages[2]?.id ?? '');
    const removal = await other.request('DELETE', `${pathOf(id)}/messages?through=${through}`);
    expect(removal).toMatchObject({ status: 200, json: { removed: 3 } });
    const left = await atAll(scene, (instance) => instance.request<Page>('GET', `${pathOf(id)}/messages`));
    for (const { json } of left) expect(json.messages.map(({ payload }) => payload)).toEqual(['4', '5']);
  });

  it('and the broker saw no ClientID taken over, and no Will', () => {
    expect(scene.log.takeOvers()).toEqual([]);
    expect(scene.wills.received).toEqual([]);
  });
});
