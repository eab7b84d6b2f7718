import type { IPublishPacket } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { createTestBridge, message, read, type TestBridge, valid } from '../helpers/bridge.ts';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';

const WAIT = { timeout: 15_000, interval: 50 };
const ROOM = 25;
const SENT = 100;
const HELD = { state: 'online', reason: { code: 'queue-full' } };

interface Page {
  messages: { id: string; payload: string }[];
  dropped: number;
}

const numbers = Array.from({ length: SENT }, (_, index) => `${index}`);

describe.each(['SQLite', 'Redis'])('a full queue that holds, on %s', (kind) => {
  let broker: Mosquitto;
  let redis: RedisServer | null = null;
  let bridge: BridgeProcess;

  beforeAll(async () => {
    if (kind === 'Redis') redis = await startRedis();
    broker = await startMosquitto({ config: ['max_inflight_messages 20'] });
    const store =
      redis === null ? {} : { STORE_URL: redis.url, BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64') };
    bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, NODE_ID: 'hold', ...store } });
  });
  afterAll(async () => {
    await bridge.stop();
    await Promise.all([broker.stop(), redis?.stop()]);
  });

  const connection = async (id: string) => (await bridge.request('GET', `/v1/connections/${id}`)).json;

  async function declare(id: string, qos: number, more = {}) {
    const json = {
      sessionExpiryInterval: 300,
      queue: { maxMessages: ROOM, overflow: 'hold' },
      subscriptions: [{ filter: `${id}/#`, qos }],
      ...more,
    };
    const answer = await bridge.request('PUT', `/v1/connections/${id}`, { json });
    expect(answer.json).toMatchObject({ state: 'online', parameters: { queue: { overflow: 'hold' } } });
  }

  const publish = (id: string, qos: number, lines: readonly string[]) =>
    mosquittoPub(broker, ['-t', `${id}/a`, '-q', `${qos}`, '-V', '5', '-l'], {
      stdin: lines.map((line) => `${line}\n`).join(''),
    });

  const acknowledged = (id: string, ack: string) =>
    broker.log().split(new RegExp(`Received ${ack} from ${id} \\(`)).length - 1;

  /** Reads and removes until that many messages came. */
  async function drain(id: string, count: number, limit: number): Promise<string[]> {
    const payloads: string[] = [];
    while (payloads.length < count) {
      const page = (await bridge.request<Page>('GET', `/v1/connections/${id}/messages?wait=10&limit=${limit}`)).json;
      const last = page.messages.at(-1);
      if (last === undefined) break;
      payloads.push(...page.messages.map(({ payload }) => payload));
      await bridge.request('DELETE', `/v1/connections/${id}/messages?through=${last.id}`);
    }
    return payloads;
  }

  it.each([
    ['5.0', 1, 'PUBACK', { receiveMaximum: 40 }],
    ['5.0', 2, 'PUBREC', { receiveMaximum: 40 }],
    ['3.1.1', 1, 'PUBACK', undefined],
    ['3.1.1', 2, 'PUBREC', undefined],
  ] as const)(
    '%s, QoS %i: acknowledges what it has stored, and goes on by itself',
    async (version, qos, ack, properties) => {
      const id = `hold-${version}-${qos}`;
      const session =
        version === '5.0'
          ? { properties }
          : { protocolVersion: version, cleanSession: false, sessionExpiryInterval: undefined };
      await declare(id, qos, session);
      await publish(id, qos, numbers);
      await expect.poll(() => connection(id), WAIT).toMatchObject({ ...HELD, queue: { depth: ROOM, dropped: 0 } });
      // The caller's own publishes are acknowledged meanwhile.
      const own = { json: { topic: 'elsewhere', payload: 'x', qos: 2 } };
      expect((await bridge.request('POST', `/v1/connections/${id}/publish`, own)).status).toBe(200);
      expect(acknowledged(id, ack)).toBe(ROOM);
      expect(await connection(id)).toMatchObject({ ...HELD, queue: { depth: ROOM, dropped: 0 } });

      expect(await drain(id, SENT, 10)).toEqual(numbers);
      await expect
        .poll(() => connection(id), WAIT)
        .toMatchObject({ state: 'online', reason: null, queue: { depth: 0, dropped: 0 } });
      await expect.poll(() => acknowledged(id, ack), WAIT).toBe(SENT);
    },
  );

  it('QoS 0: drops what does not fit, counted', async () => {
    await declare('hold-0', 0);
    await publish('hold-0', 0, numbers);
    await expect
      .poll(() => connection('hold-0'), WAIT)
      .toMatchObject({ state: 'online', queue: { depth: ROOM, dropped: SENT - ROOM } });
    expect(await drain('hold-0', ROOM, 100)).toEqual(numbers.slice(0, ROOM));
    await publish('hold-0', 0, ['again']);
    expect(await drain('hold-0', 1, 10)).toEqual(['again']);
  });

  it('QoS 0 behind what is held back is dropped, and the count shows while it holds', async () => {
    await declare('hold-mixed', 1);
    await publish('hold-mixed', 1, numbers.slice(0, ROOM + 1));
    await expect.poll(() => connection('hold-mixed'), WAIT).toMatchObject(HELD);
    await publish('hold-mixed', 0, ['a', 'b', 'c']);
    await expect
      .poll(() => connection('hold-mixed'), WAIT)
      .toMatchObject({ ...HELD, queue: { depth: ROOM, dropped: 3 } });
    expect(await drain('hold-mixed', ROOM + 1, 100)).toEqual(numbers.slice(0, ROOM + 1));
  });

  it('counts bytes too', async () => {
    await declare('hold-bytes', 1, { queue: { maxBytes: 1_000, overflow: 'hold' } });
    const long = numbers.slice(0, 10).map((text) => text.padEnd(300, '.'));
    await publish('hold-bytes', 1, long);
    await expect.poll(() => connection('hold-bytes'), WAIT).toMatchObject({ ...HELD, queue: { depth: 3 } });
    expect(await drain('hold-bytes', 10, 1)).toEqual(long);
  });

  it('a restart while it holds loses nothing and stores nothing twice', async () => {
    await declare('hold-restart', 2);
    await publish('hold-restart', 2, numbers);
    await expect.poll(() => connection('hold-restart'), WAIT).toMatchObject(HELD);
    expect(await bridge.stop()).toEqual({ code: 0, signal: null });
    await bridge.restart();
    await expect.poll(() => connection('hold-restart'), WAIT).toMatchObject({ ...HELD, queue: { depth: ROOM } });
    await bridge.kill();
    await bridge.restart();
    expect(await drain('hold-restart', SENT, 30)).toEqual(numbers);
  });
});

describe('what may happen while a queue holds', () => {
  let broker: ScriptedBroker;
  let bridge: TestBridge;
  beforeEach(async () => {
    broker = await startScriptedBroker();
    bridge = await createTestBridge({ url: broker.url });
  });
  afterEach(async () => {
    await bridge.end();
    await broker.stop();
  });

  const HOLDING = { id: 'a', sessionExpiryInterval: 600, queue: { maxMessages: 1, overflow: 'hold' } };
  const publish = (messageId: number, qos: 1 | 2, payload = `${messageId}`, dup = false): IPublishPacket => ({
    ...{ cmd: 'publish', topic: 'in/a', payload, qos, dup, retain: false, messageId },
  });
  const view = () => bridge.getConnection('a');
  const stored = async () => (await read(bridge, 'a')).messages.map(({ message: { payload } }) => payload.toString());

  async function attach(): Promise<ScriptedConnection> {
    const opening = bridge.declareConnection('a', valid(HOLDING));
    const connection = await broker.nextConnection();
    await connection.accept();
    await opening;
    return connection;
  }

  /** One message is in the queue, a second one waits. */
  async function hold(qos: 1 | 2 = 1): Promise<ScriptedConnection> {
    const connection = await attach();
    connection.send(publish(1, qos));
    await connection.next(qos === 1 ? 'puback' : 'pubrec');
    connection.send(publish(2, qos));
    await expect.poll(view).toMatchObject(HELD);
    return connection;
  }

  async function makeRoom(): Promise<void> {
    const last = (await read(bridge, 'a')).messages.at(-1);
    await bridge.acknowledgeMessages('a', { through: last?.id ?? '', filter: null });
  }

  it.each([
    ['more room', { maxMessages: 2 }],
    ['dropOldest', { overflow: 'dropOldest' }],
  ])('a change of the limits is in force at once: %s', async (_, queue) => {
    const connection = await hold();
    await bridge.patchConnection('a', { queue });
    expect(await connection.next('puback')).toMatchObject({ messageId: 2 });
    await expect.poll(view).toMatchObject({ state: 'online', reason: null });
  });

  it('less room does not disturb', async () => {
    const connection = await hold();
    await bridge.patchConnection('a', { queue: { maxBytes: 1 } });
    await makeRoom();
    expect(await connection.next('puback')).toMatchObject({ messageId: 2 });
    expect(await stored()).toEqual(['2']);
  });

  it.each([
    ['detach', () => bridge.detachConnection('a', { sessionExpiryInterval: null, will: null })],
    ['DELETE', () => bridge.deleteConnection('a', { session: 'discard', will: null })],
    ['the end of the bridge', () => bridge.stop()],
  ])('%s does not wait for a reader, and acknowledges nothing', async (_, end) => {
    const connection = await hold();
    const began = performance.now();
    const ended = end();
    await connection.next('disconnect');
    connection.drop();
    await ended;
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(connection.received.filter(({ cmd }) => cmd === 'puback')).toHaveLength(1);
  });

  it('QoS 2: a PUBREL behind it waits its turn, and nothing is stored twice when the broker sends again', async () => {
    const first = await hold(2);
    first.send({ cmd: 'pubrel', messageId: 1, reasonCode: 0 });
    first.drop();
    const again = await broker.nextConnection();
    await again.accept({ sessionPresent: true });
    again.send({ cmd: 'pubrel', messageId: 1, reasonCode: 0 });
    again.send(publish(2, 2, '2', true));
    again.send(publish(3, 2, '3', true));
    expect(await again.next('pubcomp')).toMatchObject({ messageId: 1 });
    await expect.poll(view).toMatchObject(HELD);
    expect(await stored()).toEqual(['1']);
    again.send(publish(4, 2));
    again.send({ cmd: 'pubrel', messageId: 99, reasonCode: 0 });
    for (const expected of [2, 3, 4]) {
      await makeRoom();
      expect((await again.next('pubrec')).messageId).toBe(expected);
      expect(await stored()).toEqual([`${expected}`]);
    }
    expect(await again.next('pubcomp')).toMatchObject({ messageId: 99 });
    expect(await view()).toMatchObject({ state: 'online', queue: { depth: 1, dropped: 0 } });
  });

  it('what the reason said before is said again afterwards', async () => {
    const first = await attach();
    first.drop();
    const second = await broker.nextConnection();
    await second.accept({ sessionPresent: false });
    await expect.poll(view).toMatchObject({ state: 'online', reason: { code: 'session-lost' } });
    second.send(publish(1, 1));
    second.send(publish(2, 1));
    await expect.poll(view).toMatchObject(HELD);
    await makeRoom();
    await expect.poll(view).toMatchObject({ state: 'online', reason: { code: 'session-lost' } });
  });

  it('a lost lease ends it: nothing more is stored or acknowledged', async () => {
    const connection = await hold();
    const key = (await bridge.store.connections.byId('a'))?.key;
    const epoch = await bridge.store.leases.acquire(key as never, { nodeId: 'test', process: '1' }, 15_000);
    await bridge.store.leases.release(epoch as never);
    await bridge.store.leases.acquire(key as never, { nodeId: 'another', process: '1' }, 15_000);
    await makeRoom();
    await connection.next('disconnect');
    expect(await stored()).toEqual([]);
    expect(connection.received.filter(({ cmd }) => cmd === 'puback')).toHaveLength(1);
  });

  it('a broker that minds no window gets its PINGRESP read, and the caller an answer, behind 10,000 messages', async () => {
    const connection = await hold();
    for (let id = 3; id < 10_000; id += 1) connection.send(publish(id, 1));
    const answer = bridge.publish('a', [{ message: message('out', 'x', 1), timeoutMs: 5_000 }]);
    const sent = await connection.next('publish');
    const began = performance.now();
    connection.send({ cmd: 'puback', messageId: sent.messageId ?? 0, reasonCode: 0 });
    expect(await answer).toEqual([expect.objectContaining({ qos: 1 })]);
    expect(performance.now() - began).toBeLessThan(2_500);
    await bridge.patchConnection('a', { queue: { maxMessages: 20_000 } });
    await connection.next('puback', ({ messageId }) => messageId === 9_999);
    expect(await view()).toMatchObject({ queue: { depth: 9_999, dropped: 0 } });
  });
});
