import { randomBytes } from 'node:crypto';
import type { IPublishPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, type BridgeProcess, type Environment, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const PATH = '/v1/connections/a';
const HEADERS = { 'idempotency-key': 'order 4711' };

interface Outcome {
  type?: string;
  qos?: number;
  publishId?: string;
  state?: string;
  results?: unknown[];
}

let broker: ScriptedBroker;
let bridge: BridgeProcess;
let redis: RedisServer | null = null;

const stores = {
  SQLite: async (): Promise<Environment> => ({}),
  Redis: async (): Promise<Environment> => {
    redis ??= await startRedis({ appendfsync: 'always' });
    const key = randomBytes(32).toString('base64');
    // With a fixed name the next process gets the lease of the one before, and its epoch: that must not revive a dead request.
    return { STORE_URL: redis.url, BRIDGE_SECRET_KEY: key, NODE_ID: 'bridge-1' };
  },
};

describe.each(Object.entries(stores))('publishes whose outcome is kept, through kill -9, over %s', (_name, prepare) => {
  beforeEach(async () => {
    broker = await startScriptedBroker();
    bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...(await prepare()) } });
  });
  afterEach(async () => {
    await bridge?.kill();
    await broker?.stop();
    await redis?.stop();
    redis = null;
  });

  describe('QoS 2, with an Idempotency-Key', () => {
    it('killed before PUBREC: the next process repeats the exchange, not the message', async () => {
      const first = await attached();
      const { messageId } = await sent(first, 2);
      const second = await killAndResume(true);
      expect(await second.next('publish')).toMatchObject({ messageId, dup: true });
      expect(await repeat()).toMatchObject({ status: 409, json: { type: '/problems/still-running' } });
      await finish(second, messageId);
      await expectReplay({ qos: 2, reasonCode: 0 });
      expect(fresh()).toHaveLength(1);
    });

    it('killed between PUBREC and PUBCOMP: the next process only releases', async () => {
      const first = await attached();
      const { messageId } = await sent(first, 2);
      first.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
      await first.next('pubrel');
      const second = await killAndResume(true);
      await second.next('pubrel');
      second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
      await expectReplay({ qos: 2, reasonCode: 0 });
      expect(second.received.map(({ cmd }) => cmd)).not.toContain('publish');
      expect(fresh()).toHaveLength(1);
    });

    it('killed right after PUBCOMP: whether it was recorded or not, the outcome is the same', async () => {
      const first = await attached();
      const { messageId } = await sent(first, 2);
      await finish(first, messageId);
      const second = await killAndResume(true);
      void second.next('pubrel').then(
        () => second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 }),
        () => undefined,
      );
      await expectReplay({ qos: 2, reasonCode: 0 });
      expect(fresh()).toHaveLength(1);
    });

    it('killed, and the broker lost the session: the outcome is unknown, for every repeat', async () => {
      const first = await attached();
      await sent(first, 2);
      const second = await killAndResume(false);
      await expectReplay({ type: '/problems/outcome-unknown' });
      await expectReplay({ type: '/problems/outcome-unknown' });
      expect(second.received.map(({ cmd }) => cmd)).not.toContain('publish');
      expect(fresh()).toHaveLength(1);
    });
  });

  describe('QoS 1, with an Idempotency-Key', () => {
    it('killed before PUBACK: a repeat publishes again', async () => {
      const first = await attached();
      await sent(first, 1);
      const second = await killAndResume(true);
      const answer = repeat(1);
      const { messageId = 0 } = await second.next('publish');
      second.send({ cmd: 'puback', messageId, reasonCode: 0 });
      expect(await answer).toMatchObject({ status: 200, json: { qos: 1 } });
      expect(fresh()).toHaveLength(2);
    });

    it('killed after the answer: a repeat gets it again', async () => {
      const first = await attached();
      const answer = repeat(1);
      const { messageId = 0 } = await first.next('publish');
      first.send({ cmd: 'puback', messageId, reasonCode: 0 });
      const { json } = await answer;
      await killAndResume(true);
      const replay = await repeat(1);
      expect(replay).toMatchObject({ status: 200, json });
      expect(replay.headers['idempotency-replayed']).toBe('true');
      expect(fresh()).toHaveLength(1);
    });
  });

  it('what was queued with the broker down is published in order by the next process, and its outcome is found', async () => {
    const { port } = broker;
    await attached();
    await broker.stop();
    await until(async () => (await bridge.request<Outcome>('GET', PATH)).json.state === 'offline', { what: 'offline' });
    const queue = async (payload: string) => {
      const json = [1, 2].map((qos) => ({ topic: 't', payload: `${payload} at ${qos}`, qos }));
      const headers = { prefer: 'respond-async', 'idempotency-key': payload };
      const answer = await bridge.request<Outcome>('POST', `${PATH}/publish`, { json, headers });
      expect(answer.status).toBe(202);
      return String(answer.headers.location);
    };
    const before = [await queue('one'), await queue('two')];
    await bridge.kill();
    await bridge.restart();
    const after = [await queue('three'), await queue('two')];
    expect(after[1]).toBe(before[1]);
    expect((await bridge.request<Outcome>('GET', before[0] ?? '')).json).toMatchObject({ state: 'pending' });

    broker = await startScriptedBroker(port);
    const connection = await broker.nextConnection(15_000);
    await connection.accept({ sessionPresent: true });
    for (let left = 6; left > 0; left -= 1) {
      const { qos, messageId = 0 } = await connection.next('publish');
      if (qos === 1) connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
      else await finish(connection, messageId);
    }
    for (const location of [...before, ...after]) {
      const done = async () => {
        const { json } = await bridge.request<Outcome>('GET', location);
        return json.state === 'done' ? json.results : null;
      };
      expect(await until(done, { what: 'done' })).toMatchObject([{ qos: 1 }, { qos: 2 }]);
    }
    const names = ['one', 'two', 'three'].flatMap((payload) => [`${payload} at 1`, `${payload} at 2`]);
    expect(fresh().map(({ payload }) => payload.toString())).toEqual(names);
  });

  it('killed while it sends the outbox: all of it arrives, in order, QoS 2 once', async () => {
    const texts = Array.from({ length: 60 }, (_, index) => `${index}`);
    const first = await attached({ receiveMaximum: 4 });
    const json = texts.map((payload) => ({ topic: 't', payload, qos: 2 }));
    const headers = { prefer: 'respond-async' };
    const { location } = (await bridge.request('POST', `${PATH}/publish`, { json, headers })).headers;
    for (let left = 20; left > 0; left -= 1) await finish(first, (await first.next('publish')).messageId ?? 0);
    const second = await killAndResume(true, { receiveMaximum: 4 });
    const seen = answerAll(second);
    const done = async () => (await bridge.request<Outcome>('GET', String(location))).json.state === 'done';
    await until(done, { what: 'done', within: 10_000 });
    const sentFirst = received(first).map(({ payload }) => payload.toString());
    expect([...new Set([...sentFirst, ...seen()])]).toEqual(texts);
    expect(new Set(fresh().map(({ payload }) => payload.toString())).size).toBe(fresh().length);
  });
});

/** Declares the Connection, and accepts it. */
async function attached(properties: object = {}): Promise<ScriptedConnection> {
  const json = { sessionExpiryInterval: 3600, cleanStart: false };
  const answer = bridge.request('PUT', PATH, { json });
  const connection = await broker.nextConnection();
  await connection.accept({ properties });
  expect((await answer).status).toBe(201);
  return connection;
}

/** Publishes with the key, and waits for PUBLISH at the broker. */
async function sent(connection: ScriptedConnection, qos: number): Promise<{ messageId: number }> {
  repeat(qos).catch(() => undefined);
  const { messageId = 0 } = await connection.next('publish');
  return { messageId };
}

/** The request, once more. */
function repeat(qos = 2): Promise<Answer<Outcome>> {
  return bridge.request('POST', `${PATH}/publish`, { json: { topic: 't', payload: 'pay', qos }, headers: HEADERS });
}

async function finish(connection: ScriptedConnection, messageId: number): Promise<void> {
  connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
  await connection.next('pubrel', (packet) => packet.messageId === messageId);
  connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
}

/** Acknowledges all that comes; answers what was published, without repetitions. */
function answerAll(connection: ScriptedConnection): () => string[] {
  const each = async (cmd: 'publish' | 'pubrel', reply: 'pubrec' | 'pubcomp') => {
    for (;;) {
      const { messageId = 0 } = await connection.next(cmd, undefined, 20_000);
      connection.send({ cmd: reply, messageId, reasonCode: 0 });
    }
  };
  each('publish', 'pubrec').catch(() => undefined);
  each('pubrel', 'pubcomp').catch(() => undefined);
  return () => received(connection).map(({ payload }) => payload.toString());
}

async function killAndResume(sessionPresent: boolean, properties: object = {}): Promise<ScriptedConnection> {
  await bridge.kill();
  const restarting = bridge.restart();
  const connection = await broker.nextConnection(15_000);
  await connection.accept({ sessionPresent, properties });
  await restarting;
  return connection;
}

async function expectReplay(outcome: object): Promise<void> {
  const decided = async () => {
    const answer = await repeat();
    return answer.status === 409 ? null : answer;
  };
  const answer = await until(decided, { what: 'the outcome' });
  expect(answer.json).toMatchObject(outcome);
  expect(answer.headers['idempotency-replayed']).toBe('true');
}

function received(connection: ScriptedConnection): IPublishPacket[] {
  return connection.received.filter((packet): packet is IPublishPacket => packet.cmd === 'publish');
}

/** What this broker was sent as new, by all processes: without DUP. */
function fresh(): IPublishPacket[] {
  return broker.connections.flatMap(received).filter(({ dup }) => !dup);
}
