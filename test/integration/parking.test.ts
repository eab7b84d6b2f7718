import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestBridge, message, read, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { until } from '../helpers/until.ts';

const DETACHED = { code: 'parked', detail: expect.any(String) };

describe('parking', () => {
  let broker: Mosquitto;
  let bridge: TestBridge;
  beforeAll(async () => {
    broker = await startMosquitto();
  });
  afterAll(() => broker.stop());
  afterEach(() => bridge.end());

  async function start(poolMax: number): Promise<void> {
    bridge = await createTestBridge({ url: broker.url, poolMax });
    await bridge.start();
  }

  const document = (id: string, more = {}) => ({
    id,
    sessionExpiryInterval: 300,
    drainInterval: 1,
    subscriptions: [{ filter: `${id}/in`, qos: 1 }],
    ...more,
  });
  const open = (id: string, more = {}) => bridge.openConnection(valid(document(id, more)));
  const view = (id: string) => bridge.getConnection(id);
  const becomes = (id: string, state: string) =>
    until(
      async () => {
        const { state: now, owner } = await view(id);
        return now === state && (owner === null) === (state === 'parked');
      },
      { what: `${id} is ${state}`, within: 15_000 },
    );
  const publish = (id: string, text: string) =>
    bridge.publish(id, [{ message: message(`${id}/out`, text, 1), timeoutMs: 5_000 }]);
  const send = (topic: string, text: string) => mosquittoPub(broker, ['-t', topic, '-q', '1', '-V', '5', '-m', text]);
  const payloads = async (id: string) =>
    (await read(bridge, id, 10_000)).messages.map((entry) => entry.message.payload.toString());
  /** What the broker's log says of a client, in order. */
  const story = (id: string) =>
    broker
      .log()
      .split('\n')
      .filter((line) => line.includes(`as ${id} (`) || line.includes(`Client ${id} `))
      .map((line) => (line.includes('New client') ? 'connected' : line.slice(line.indexOf(`Client ${id}`))));

  it('a Connection on demand is detached when nobody uses it, with DISCONNECT, and a publish attaches it', async () => {
    await start(10);
    const wills = await mosquittoSub(broker, ['-t', 'will/#']);
    const { connection } = await open('demand', { hold: 'onDemand', will: { topic: 'will/demand', payload: 'gone' } });
    expect(connection).toMatchObject({ state: 'online', warnings: [] });
    await becomes('demand', 'parked');
    expect(await view('demand')).toMatchObject({ owner: null, reason: DETACHED, generation: 1 });
    await expect.poll(() => story('demand')).toEqual(['connected', 'Client demand disconnected.']);
    expect(await publish('demand', 'x')).toMatchObject([{ qos: 1 }]);
    expect(await view('demand')).toMatchObject({ state: 'online', owner: 'test', generation: 1 });
    await send('will/other', 'the subscriber is there');
    expect(await wills.waitForLines(1)).toEqual(['the subscriber is there']);
    await wills.stop();
  });

  it('what the broker kept meanwhile is drained, and acknowledged', async () => {
    await start(10);
    await open('drained', { hold: 'onDemand' });
    await becomes('drained', 'parked');
    await send('drained/in', 'while parked');
    expect(await payloads('drained')).toEqual(['while parked']);
    await becomes('drained', 'parked');
    const acknowledged = broker.log().match(/Received PUBACK from drained /g)?.length;
    expect(acknowledged).toBe(1);
  });

  it('a session is renewed before it expires, although nothing is to be drained', async () => {
    await start(10);
    await open('renewed', { hold: 'onDemand', sessionExpiryInterval: 2, drainInterval: 3_600, subscriptions: [] });
    const connects = () => story('renewed').filter((line) => line === 'connected').length;
    await until(() => connects() >= 4, { what: 'three renewals', within: 20_000 });
    expect(await view('renewed')).toMatchObject({ generation: 1 });
  });

  it('at most so many are attached; those used least recently are parked, and all get their messages', async () => {
    await start(3);
    const ids = Array.from({ length: 8 }, (_, index) => `pool-${index}`);
    for (const id of ids) await open(id);
    expect(await bridge.listConnections({ state: 'parked', limit: 100, after: null })).toMatchObject({
      connections: ids.slice(0, 5).map((id) => ({ id, reason: DETACHED })),
    });
    for (const id of ids) await send(`${id}/in`, id);
    for (const id of ids) expect(await payloads(id)).toEqual([id]);
    expect(await publish('pool-0', 'x')).toMatchObject([{ qos: 1 }]);
    expect(mostAttached(ids)).toBe(3);
    for (const id of ids) expect(await view(id)).toMatchObject({ generation: 1 });
  });

  it('sessions that end with their connection are not parked: there is no room for another, and that is said', async () => {
    await start(1);
    await open('kept', { sessionExpiryInterval: 0 });
    await expect(open('too-many')).rejects.toMatchObject({ type: 'overloaded', status: 503 });
    expect(await view('kept')).toMatchObject({ state: 'online' });
    await bridge.deleteConnection('kept', { session: 'discard', will: null });
    expect(await open('too-many')).toMatchObject({ created: true });
  });

  it('one that is to stay attached comes back when there is room', async () => {
    await start(1);
    await open('first');
    await open('second');
    await becomes('first', 'parked');
    await bridge.deleteConnection('second', { session: 'discard', will: null });
    await becomes('first', 'online');
  });

  it('a drain that fails leaves it parked, with the reason to be seen, until it is due again', async () => {
    const mortal = await startMosquitto({ persistence: true });
    bridge = await createTestBridge({ url: mortal.url });
    await bridge.start();
    await open('orphan', { hold: 'onDemand', connectTimeout: 1 });
    await becomes('orphan', 'parked');
    await mortal.stop();
    const resting = { state: 'parked', owner: null, reason: { code: 'broker-unreachable' } };
    await expect.poll(() => view('orphan'), { timeout: 10_000 }).toMatchObject(resting);
    await mortal.stop();
  });

  it('a change from onDemand to always attaches it', async () => {
    await start(10);
    await open('changed', { hold: 'onDemand' });
    await becomes('changed', 'parked');
    await bridge.patchConnection('changed', { hold: 'always' });
    await becomes('changed', 'online');
  });

  it('one on demand that loses its broker comes back for who waits, and else rests', async () => {
    const mortal = await startMosquitto({ persistence: true });
    bridge = await createTestBridge({ url: mortal.url });
    await bridge.start();
    await open('lost', { hold: 'onDemand', subscriptions: [] });
    await mortal.stop();
    await becomes('lost', 'parked');
    const publishing = bridge.publish('lost', [{ message: message('lost/out', 'x', 1), timeoutMs: 20_000 }]);
    await mortal.start();
    expect(await publishing).toMatchObject([{ qos: 1 }]);
    await mortal.stop();
  });

  function mostAttached(ids: readonly string[]): number {
    const attached = new Set<string>();
    let most = 0;
    for (const line of broker.log().split('\n')) {
      const connected = /New client connected from .* as (\S+) \(/.exec(line)?.[1];
      const gone = /Client (\S+) (?:disconnected|closed its connection)/.exec(line)?.[1];
      if (connected !== undefined && ids.includes(connected)) attached.add(connected);
      if (gone !== undefined) attached.delete(gone);
      most = Math.max(most, attached.size);
    }
    return most;
  }
});
