import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { functionNodeId } from '../../src/bridge/fleet/node-ids.ts';
import { Problem } from '../../src/errors/problem.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const LEASE_TTL_MS = 3_000;
const KEEP_MS = 10_000;

describe('a function', () => {
  let broker: Mosquitto;
  let redis: RedisServer;
  let running: TestBridge[];
  let id: string;
  let count = 0;

  beforeAll(async () => {
    [broker, redis] = await Promise.all([startMosquitto(), startRedis()]);
  });
  afterAll(() => Promise.all([broker.stop(), redis.stop()]));
  beforeEach(() => {
    count += 1;
    id = `fn-${count}`;
    running = [];
  });
  afterEach(() => Promise.all(running.map((bridge) => bridge.end())));

  async function start(
    mode: 'gateway' | 'function',
    nodeId = functionNodeId(),
    more: Partial<Parameters<typeof createTestBridge>[0]> = {},
  ): Promise<TestBridge> {
    const store = await openRedisStore({ url: redis.url, prefix: `fn-${count}`, nodeId });
    const bridge = await createTestBridge({ url: broker.url, store, mode, nodeId, leaseTtlMs: LEASE_TTL_MS, ...more });
    running.push(bridge);
    await bridge.start();
    return bridge;
  }

  const document = (more = {}) => valid({ id, hold: 'onDemand', sessionExpiryInterval: 300, ...more });
  const subscribed = { subscriptions: [{ filter: 'fn/in/#', qos: 1 }], drainInterval: 1 };
  const publish = async (bridge: TestBridge, text: string, qos: 0 | 1 | 2 = 1) =>
    bridge.publish(id, [{ message: message(`fn/${id}`, text, qos), timeoutMs: 5_000 }]);
  const holder = async (bridge: TestBridge) => {
    const record = await bridge.store.connections.byId(id);
    return record === null ? null : bridge.store.leases.holder(record.key);
  };
  const story = (clientId = id) =>
    broker
      .log()
      .split('\n')
      .filter((line) => line.includes(`as ${clientId} (`) || line.includes(`Client ${clientId} `))
      .map((line) =>
        line.includes('New client') ? 'connected' : line.slice(line.indexOf(clientId) + clientId.length),
      );
  const read = async (bridge: TestBridge, drain = true) => {
    const { signal } = new AbortController();
    return bridge.readMessages(id, { after: null, limit: 100, waitMs: 0, filter: null, drain, signal });
  };

  it('keeps its connection warm where losing it costs nothing, and the lease for no longer than a request', async () => {
    const bridge = await start('function');
    expect(await bridge.openConnection(document())).toMatchObject({ created: true, connection: { state: 'online' } });
    expect(await holder(bridge)).toBeNull();
    for (const qos of [0, 1, 2] as const) {
      expect(await publish(bridge, 'x', qos)).toMatchObject([{ qos }]);
      expect(await holder(bridge)).toBeNull();
    }
    await expect.poll(() => story()).toEqual(['connected']);
    expect(await bridge.getConnection(id)).toMatchObject({ state: 'parked', owner: null, generation: 1 });
  });

  it('detaches in order, before it answers, where the Will or messages would be at stake', async () => {
    const bridge = await start('function');
    const wills = await mosquittoSub(broker, ['-t', 'fn/will/#']);
    await bridge.openConnection(document({ ...subscribed, will: { topic: 'fn/will/x', payload: 'gone' } }));
    await expect.poll(() => story()).toEqual(['connected', ' disconnected.']);
    await publish(bridge, 'x');
    await expect.poll(() => story()).toEqual(['connected', ' disconnected.', 'connected', ' disconnected.']);
    await mosquittoPub(broker, ['-t', 'fn/will/other', '-m', 'the subscriber is there']);
    expect(await wills.waitForLines(1)).toEqual(['the subscriber is there']);
    await wills.stop();
    expect(await bridge.getConnection(id)).toMatchObject({ state: 'parked', owner: null, generation: 1 });
  });

  it('notices that another one was there, and connects anew', async () => {
    const [one, two] = [await start('function'), await start('function')];
    await one.openConnection(document());
    for (const bridge of [one, two, one, two]) expect(await publish(bridge, 'x')).toMatchObject([{ qos: 1 }]);
    await expect.poll(() => story().filter((line) => line === 'connected').length).toBeGreaterThanOrEqual(4);
    expect(await one.getConnection(id)).toMatchObject({ state: 'parked', generation: 1 });
  });

  it('many at once wait for the lease in line: each is served or told when to come back, none takes over', async () => {
    const bridges = await Promise.all(Array.from({ length: 6 }, () => start('function')));
    await bridges[0]?.openConnection(document(subscribed));
    await expect.poll(() => story()).toHaveLength(2);
    const before = story().length;
    const asked = bridges.flatMap((bridge) => Array.from({ length: 5 }, (_, index) => publish(bridge, `${index}`)));
    const answers = (await Promise.all(asked)).flat();
    for (const answer of answers) {
      if (!('qos' in answer))
        expect(answer).toMatchObject({ status: 503, details: { retryAfter: expect.any(Number) } });
    }
    expect(answers.filter((answer) => 'qos' in answer).length).toBeGreaterThan(answers.length / 2);
    expect(story().slice(before)).not.toContainEqual(expect.stringContaining('already connected'));
    await expect.poll(() => story().slice(before).length % 2).toBe(0);
  });

  it('a read drains what the broker kept for the session, acknowledges it, and says that this was all', async () => {
    const bridge = await start('function');
    await bridge.openConnection(document(subscribed));
    for (const text of ['1', '2', '3']) await send(text);
    expect(await read(bridge, false)).toMatchObject({ messages: [] });
    const page = await read(bridge);
    expect(page).toMatchObject({ complete: true, connection: { state: 'parked' } });
    expect(page.messages.map((entry) => entry.message.payload.toString())).toEqual(['1', '2', '3']);
    await expect.poll(() => story().at(-1)).toBe(' disconnected.');
    expect(await holder(bridge)).toBeNull();
    expect((await read(bridge)).messages).toHaveLength(3);
  });

  it('readers at the same time share a drain', async () => {
    const bridge = await start('function');
    await bridge.openConnection(document(subscribed));
    await send('x');
    await expect.poll(() => story()).toHaveLength(2);
    const before = story().length;
    const pages = await Promise.all(Array.from({ length: 5 }, () => read(bridge)));
    for (const page of pages) expect(page).toMatchObject({ complete: true, messages: [{}] });
    await expect.poll(() => story().slice(before)).toEqual(['connected', ' disconnected.']);
  });

  it('a read whose broker cannot be reached answers what is queued, and why there may be more', async () => {
    const bridge = await start('function');
    const mortal = await startMosquitto({ persistence: true });
    const away = await createTestBridge({
      ...{ url: mortal.url, store: bridge.store, mode: 'function', nodeId: functionNodeId() },
    });
    await away.start();
    await away.openConnection(document({ ...subscribed, connectTimeout: 1 }));
    await mortal.stop();
    const page = await read(away);
    expect(page).toMatchObject({ messages: [], complete: false, connection: { state: 'parked' } });
    expect(page.connection.reason).toMatchObject({ code: 'broker-unreachable' });
    await away.stop();
  });

  it('its keeper drains what is due, in runs', async () => {
    const bridge = await start('function');
    await bridge.openConnection(document(subscribed));
    await send('kept');
    const { signal } = new AbortController();
    const drained = await until(
      async () => {
        const run = await bridge.keep(KEEP_MS, signal);
        expect(run.remaining).toBe(false);
        return run.drained > 0 ? run : null;
      },
      { what: 'it is due' },
    );
    expect(drained.drained).toBe(1);
    expect((await read(bridge, false)).messages).toHaveLength(1);
    expect(await bridge.keep(0, signal)).toEqual({ drained: 0, remaining: true });
  });

  it('its keeper sends what waits in an outbox, of a session that ended with its network connection too', async () => {
    const arrivals = await mosquittoSub(broker, ['-t', 'fn/outbox', '-q', '1']);
    const bridge = await start('function');
    await bridge.openConnection(document({ sessionExpiryInterval: 0, connectTimeout: 1 }));
    const away = await start('function', functionNodeId(), { url: 'mqtt://127.0.0.1:9' });
    const items = [{ message: message('fn/outbox', 'waits', 1), timeoutMs: 5_000 }];
    await away.publishKept(id, { items, batch: false, respondAsync: true, idempotencyKey: null, fingerprint: 'f' });
    await away.stop();
    const { signal } = new AbortController();
    await bridge.keep(KEEP_MS, signal);
    expect(await arrivals.waitForLines(1)).toEqual(['waits']);
    await arrivals.stop();
  });

  it('cannot keep anything attached: without an instance that stays, that is a conflict', async () => {
    const bridge = await start('function');
    await expect(bridge.openConnection(document({ hold: 'always' }))).rejects.toMatchObject({
      type: 'no-gateway',
      status: 409,
    });
    await expect(bridge.declareConnection(id, document({ hold: 'always' }))).rejects.toMatchObject({ status: 409 });
    await bridge.openConnection(document());
    await expect(bridge.patchConnection(id, { hold: 'always' })).rejects.toMatchObject({ type: 'no-gateway' });
  });

  it('leaves to an instance that stays what that can do, and reads through the store', async () => {
    const [gateway, bridge] = [await start('gateway', 'stays'), await start('function')];
    const { connection } = await bridge.openConnection(document({ hold: 'always', ...subscribed }));
    expect(connection).toMatchObject({ state: 'online', owner: 'stays' });
    expect(await publish(bridge, 'x', 2)).toMatchObject([{ qos: 2 }]);
    await send('arrives');
    await until(async () => (await read(bridge)).messages.length === 1, { what: 'it is read' });
    expect(await bridge.getConnection(id)).toMatchObject({ state: 'online', owner: 'stays' });
    await expect.poll(() => story()).toEqual(['connected']);
    expect(await gateway.getConnection(id)).toMatchObject({ owner: 'stays' });
    expect(await bridge.keep(KEEP_MS, new AbortController().signal)).toEqual({ drained: 0, remaining: false });
  });

  it('uses what is to stay attached while no instance stays, and the next one that does takes it back by itself', async () => {
    const before = await start('gateway', 'stays');
    await before.openConnection(document({ hold: 'always', sessionExpiryInterval: 0 }));
    await before.stop();
    const bridge = await start('function');
    expect(await publish(bridge, 'x')).toMatchObject([{ qos: 1 }]);
    expect(await bridge.getConnection(id)).toMatchObject({ state: 'parked', owner: null });
    expect(await bridge.keep(KEEP_MS, new AbortController().signal)).toMatchObject({ drained: 0 });
    await start('gateway', 'next');
    const isBack = async () => {
      const { owner, state } = await bridge.getConnection(id);
      return owner === 'next' && state === 'online';
    };
    await until(isBack, { what: 'it is attached again', within: 10_000 });
  });

  it('whose time is over gives everything back before, and says what is not known', async () => {
    const silent = await startScriptedBroker();
    const ending = new AbortController();
    const bridge = await start('function', functionNodeId(), { url: silent.url, ending: () => ending.signal });
    const opening = bridge.openConnection(document({ will: { topic: 'fn/will', payload: 'gone' } }));
    await (await silent.nextConnection()).accept();
    await opening;
    const publishing = publish(bridge, 'x');
    const connection = await silent.nextConnection();
    await connection.accept({ sessionPresent: true });
    await connection.next('publish');
    const over = new Problem('outcome-unknown', { detail: 'the test says so' });
    ending.abort(over);
    await expect(publishing).rejects.toBe(over);
    await connection.next('disconnect');
    expect(await holder(bridge)).toBeNull();
    expect(await bridge.getConnection(id)).toMatchObject({ state: 'parked', owner: null });
    // What runs on in the invocation that is over does nothing.
    await expect(publish(bridge, 'late')).rejects.toBe(over);
    expect(silent.connections).toHaveLength(2);
    await silent.stop();
  });

  it('publishes without a Connection of its own, with a key too', async () => {
    const [one, two] = [await start('function'), await start('function')];
    const request = { message: message('fn/pooled', 'x', 2), timeoutMs: 5_000 };
    for (const bridge of [one, two, one]) {
      expect(await bridge.publishPooled('default', [request])).toMatchObject([{ qos: 2 }]);
    }
    const kept = { items: [request], batch: false, respondAsync: false, idempotencyKey: 'k', fingerprint: 'f' };
    expect(await one.publishPooledKept('default', kept)).toMatchObject({ replayed: false, results: [{ qos: 2 }] });
    expect(await two.publishPooledKept('default', kept)).toMatchObject({ replayed: true, results: [{ qos: 2 }] });
  });

  function send(text: string): Promise<unknown> {
    return mosquittoPub(broker, ['-t', 'fn/in/x', '-q', '1', '-V', '5', '-m', text]);
  }
});
