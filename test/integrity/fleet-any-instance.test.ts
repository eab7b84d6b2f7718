import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Answer } from '../helpers/bridge-process.ts';
import type { Instance } from '../helpers/fleet.ts';
import {
  atAll,
  opened,
  parameters,
  pathOf,
  SCENE_WITHIN,
  type Scene,
  startScene,
  untilStory,
  type View,
  viewAt,
} from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { startSubscriber } from '../helpers/kill-subscriber.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';
import type { Page } from '../helpers/traffic-consumer.ts';
import { until } from '../helpers/until.ts';

describe('any of three instances answers any request about a Connection', () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone });
  }, SCENE_WITHIN);
  afterAll(() => scene?.stop());

  it.each([0, 1, 2])(
    'POST at instance %i: all show it online, with the same owner, after one CONNECT',
    async (index) => {
      const id = `posted-${index}`;
      const json = { id, ...parameters(id) };
      const answer = await scene.fleet.instances[index]?.request<View>('POST', '/v1/connections', { json });
      expect(answer?.json, answer?.text).toMatchObject({ state: 'online', generation: 1 });
      expect(answer?.status).toBe(201);
      const seen = await atAll(scene, (instance) => viewAt(instance, id));
      expect(seen.map(({ state }) => state)).toEqual(['online', 'online', 'online']);
      expect(new Set(seen.map(({ owner }) => owner))).toEqual(new Set([answer?.json.owner]));
      expect(scene.log.of(id, 'connected')).toHaveLength(1);
    },
  );

  it.each([
    ['PUT', (id: string) => pathOf(id)],
    ['POST', () => '/v1/connections'],
  ])('%s at all of them at the same time makes one Connection, with one CONNECT', async (method, path) => {
    const id = `at-once-${method}`;
    const json = { id, ...parameters(id) };
    const answers = await atAll(scene, (instance) => instance.request<View>(method, path(id), { json }));
    expect(answers.map(({ status }) => status).toSorted(), answers.map(({ text }) => text).join('\n')).toEqual([
      200, 200, 201,
    ]);
    for (const { json } of answers) expect(json.state).toBe('online');
    expect(scene.log.of(id, 'connected')).toHaveLength(1);
  });

  it('a ClientID is taken for all of them', async () => {
    const { one } = await opened(scene, 'taken');
    const answer = await one.request('PUT', pathOf('another'), { json: { clientId: 'taken' } });
    expect(answer).toMatchObject({ status: 409, json: { type: '/problems/client-id-in-use' } });
  });

  it('subscribe here, unsubscribe there', async () => {
    const id = 'subscriber';
    const { one, other } = await opened(scene, id);
    const json = { filter: `${id}/more`, qos: 2 };
    const subscribed = await one.request('POST', `${pathOf(id)}/subscriptions`, { json });
    expect(subscribed.json, subscribed.text).toMatchObject({ results: [{ ...json, granted: { qos: 2 } }] });
    const filters = () =>
      atAll(scene, async (instance) => {
        const { text } = await instance.request('GET', `${pathOf(id)}/subscriptions`);
        return text.includes(json.filter);
      });
    expect(await filters()).toEqual([true, true, true]);
    await mosquittoPub(scene.broker, ['-t', `${id}/more`, '-m', 'x', '-q', '2']);
    await until(async () => (await viewAt(other, id)).queue.depth === 1, { what: 'the message' });
    const query = `filter=${encodeURIComponent(json.filter)}`;
    const removed = await other.request('DELETE', `${pathOf(id)}/subscriptions?${query}`);
    expect(removed.status, removed.text).toBeLessThan(300);
    expect(await filters()).toEqual([false, false, false]);
    await mosquittoPub(scene.broker, ['-t', `${id}/more`, '-m', 'not wanted', '-q', '2']);
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-m', 'wanted', '-q', '1']);
    await until(async () => (await viewAt(one, id)).queue.depth > 1, { what: 'another message' });
    const { json: page } = await one.request<Page>('GET', `${pathOf(id)}/messages`);
    expect(page.messages.map(({ payload }) => payload)).toEqual(['x', 'wanted']);
    expect(scene.log.of(id, 'connected')).toHaveLength(1);
  });

  it('changes anywhere take effect, and reconnect only where they must', async () => {
    const id = 'changed';
    const { owner, one, other } = await opened(scene, id);
    const merge = (instance: Instance, json: object) =>
      instance.request('PATCH', pathOf(id), {
        body: JSON.stringify(json),
        headers: { 'content-type': 'application/merge-patch+json' },
      });
    const queue = { maxMessages: 7, maxBytes: 1_000_000, maxAge: 3_600, overflow: 'dropOldest' };
    expect((await merge(one, { queue })).status).toBe(200);
    const again = await other.request('PUT', pathOf(id), { json: { ...parameters(id), queue } });
    expect(again.status, again.text).toBe(200);
    expect(scene.log.of(id, 'connected')).toHaveLength(1);
    const changedAt = performance.now();
    const patched = await merge(other, { keepAlive: 33 });
    expect(patched.json, patched.text).toMatchObject({ state: 'online', owner: owner.nodeId });
    await untilStory(scene.log, [id], changedAt, /^disconnected, connected$/);
    for (const shown of await atAll(scene, (instance) => instance.request('GET', pathOf(id)))) {
      expect(shown.json).toMatchObject({ state: 'online', generation: 1, parameters: { keepAlive: 33, queue } });
    }
  });

  it('detach here, attach there; a publish anywhere attaches too', async () => {
    const id = 'detached';
    const { one, other } = await opened(scene, id);
    const post = (instance: Instance, verb: string): Promise<Answer<View>> =>
      instance.request('POST', `${pathOf(id)}/${verb}`, { json: {} });
    expect((await post(one, 'detach')).json).toMatchObject({ state: 'parked' });
    for (const shown of await atAll(scene, (instance) => viewAt(instance, id))) {
      expect(shown).toMatchObject({ state: 'parked', owner: null });
    }
    expect((await post(other, 'attach')).json).toMatchObject({ state: 'online', generation: 1 });
    expect(scene.log.of(id, 'connected')).toHaveLength(2);
    await post(other, 'detach');
    const judge = await startSubscriber(scene.broker.port, 'judge', `out/${id}`);
    const json = { topic: `out/${id}`, payload: 'awake', qos: 1 };
    expect((await one.request('POST', `${pathOf(id)}/publish`, { json })).status).toBe(200);
    expect(scene.log.of(id, 'connected')).toHaveLength(3);
    await until(() => judge.received.length > 0, { what: 'the message' });
    judge.stop();
  });

  it('DELETE anywhere ends it for all, and its session at the broker', async () => {
    const id = 'deleted';
    const { one } = await opened(scene, id);
    expect((await one.request('DELETE', pathOf(id))).status).toBe(204);
    expect(await atAll(scene, async (instance) => (await instance.request('GET', pathOf(id))).status)).toEqual([
      404, 404, 404,
    ]);
    await mosquittoPub(scene.broker, ['-t', `${id}/in`, '-m', 'to nobody', '-q', '1']);
    const successor = await startSubscriber(scene.broker.port, id, `${id}/after`);
    await mosquittoPub(scene.broker, ['-t', `${id}/after`, '-m', 'after', '-q', '1']);
    await until(() => successor.received.length > 0, { what: 'a message to another client with that ClientID' });
    expect(successor.received.map(({ payload }) => payload)).toEqual(['after']);
    successor.stop();
    expect(scene.log.of(id, 'connected')).toHaveLength(2);
  });

  it('and the broker saw no ClientID taken over, and no Will', () => {
    expect(scene.log.takeOvers()).toEqual([]);
    expect(scene.wills.received).toEqual([]);
  });
});
