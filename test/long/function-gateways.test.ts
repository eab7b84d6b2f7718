import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Fleet, LEASE_TTL_MS, startFleet } from '../helpers/fleet.ts';
import { pathOf, SCENE_WITHIN, type Scene, startScene, type View } from '../helpers/fleet-scene.ts';
import { type FleetStore, startStandalone } from '../helpers/fleet-stores.ts';
import { type RawSubscriber, startSubscriber } from '../helpers/kill-subscriber.ts';
import { printTimes } from '../helpers/measured.ts';
import { until } from '../helpers/until.ts';
import { startWire, type Wire } from '../helpers/wire.ts';

/** Milliseconds after its death until a gateway is neither owner nor announced any more. */
const FORGOTTEN_WITHIN = 2 * LEASE_TTL_MS + 5_000;

describe('functions in front of a gateway', () => {
  let scene: Scene<FleetStore>;
  let functions: Fleet;
  let wire: Wire;
  let arrivals: RawSubscriber;
  beforeAll(async () => {
    scene = await startScene({ startStore: startStandalone, count: 1 });
    wire = await startWire(scene.store.env.STORE_URL ?? '');
    const wired = (nodeId: string) => (nodeId === 'node-1' ? { STORE_URL: wire.url } : {});
    const env = (nodeId: string) => ({ BRIDGE_MODE: 'function', ...wired(nodeId) });
    functions = await startFleet({ broker: scene.broker, store: scene.store, count: 2, env });
    arrivals = await startSubscriber(scene.broker.port, 'judge', 'out/#');
  }, SCENE_WITHIN);
  afterAll(async () => {
    arrivals?.stop();
    await functions?.end();
    await wire?.stop();
    await scene?.stop();
  });
  afterEach(() => {
    for (const each of functions?.instances ?? []) each.thaw();
  });

  const document = { sessionExpiryInterval: 3_600, subscriptions: [{ filter: 'in/#', qos: 1 }] };
  const publish = (payload: string, at = functions.next()) =>
    at.request<{ type?: string }>('POST', `${pathOf('front')}/publish`, {
      json: { topic: 'out/x', payload, qos: 2 },
    });
  const view = async () => (await functions.request<View>('GET', pathOf('front'))).json;

  it('the gateway alone connects, for whichever function is asked', async () => {
    const json = { ...document, hold: 'always' };
    expect((await functions.request<View>('PUT', pathOf('front'), { json })).json).toMatchObject({ owner: 'node-1' });
    for (const payload of ['1', '2', '3', '4']) expect((await publish(payload)).status).toBe(200);
    const { status } = await functions.request('GET', `${pathOf('front')}/messages`);
    expect(status).toBe(200);
    expect(await view()).toMatchObject({ state: 'online', owner: 'node-1' });
    expect(scene.log.of('front', 'connected')).toHaveLength(1);
  });

  it('a function whose channel died while it was frozen hears the answers after the thaw', async () => {
    const frozen = functions.named('node-1');
    expect((await publish('before', frozen)).status).toBe(200);
    frozen.freeze();
    wire.cut();
    wire.mend();
    const cutAt = performance.now();
    await until(() => performance.now() - cutAt > 2_500, { what: 'it has not been heard for a while' });
    frozen.thaw();
    const thawedAt = performance.now();
    const answered = await until(
      async () => {
        const answer = await publish('after', frozen);
        return answer.status === 503 ? null : answer;
      },
      { what: 'it is served' },
    );
    expect(answered.status).toBe(200);
    printTimes('thawed until served', [performance.now() - thawedAt]);
    expect(scene.log.of('front', 'connected')).toHaveLength(1);
  });

  it('when the gateway has been killed, a function does it itself after the lease time', async () => {
    const [gateway] = scene.fleet.instances;
    const killedAt = performance.now();
    await gateway?.kill();
    const statuses = new Set<number>();
    await until(
      async () => {
        const { status } = await publish('alone');
        statuses.add(status);
        return status === 200;
      },
      { what: 'a function serves it', within: FORGOTTEN_WITHIN },
    );
    printTimes('killed until a function served it', [performance.now() - killedAt]);
    for (const status of statuses) expect([200, 503, 504]).toContain(status);
    expect(scene.log.of('front', 'connected')).toHaveLength(2);
    expect(scene.log.takeOvers()).toEqual([]);
    expect(await view()).toMatchObject({ state: 'parked', owner: null, generation: 1 });
    const json = { ...document, hold: 'always' };
    await until(async () => (await functions.request('PUT', pathOf('other'), { json })).status === 409, {
      what: '`hold` always is a conflict',
    });
  }, 40_000);

  it('what was published arrived', async () => {
    const expected = ['1', '2', '3', '4', 'before', 'after', 'alone'];
    const arrived = () => new Set(arrivals.received.map(({ payload }) => payload));
    await until(() => expected.every((payload) => arrived().has(payload)), { what: 'all arrive' });
  });
});
