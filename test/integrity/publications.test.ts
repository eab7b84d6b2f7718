import { randomBytes } from 'node:crypto';
import type { IPublishPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type BridgeProcess, type Environment, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

interface Outcome {
  type?: string;
  qos?: number;
  publishId?: string;
  state?: string;
  results?: unknown[];
}

/** What is under way when the process is killed: a Connection for each, so that one process is killed once for all. */
const MOMENTS = [
  'before PUBREC',
  'after PUBREC',
  'after PUBCOMP',
  'lost',
  'QoS 1',
  'answered',
  'away',
  'sending',
] as const;
type Moment = (typeof MOMENTS)[number];

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
  /** Of the process that was killed, and of the next one. */
  const first = {} as Record<Moment, ScriptedConnection>;
  const second = {} as Record<Moment, ScriptedConnection>;
  const identifiers = {} as Record<Moment, number>;
  const locations: string[] = [];
  let firstAnswer: unknown;
  const texts = Array.from({ length: 60 }, (_, index) => `${index}`);

  beforeAll(async () => {
    broker = await startScriptedBroker();
    bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...(await prepare()) } });
    await Promise.all(
      MOMENTS.map(async (moment) => {
        first[moment] = await attached(moment, { receiveMaximum: 4 });
      }),
    );

    for (const moment of ['before PUBREC', 'after PUBREC', 'after PUBCOMP', 'lost', 'QoS 1'] as const) {
      repeat(moment).catch(() => undefined);
      identifiers[moment] = (await first[moment].next('publish')).messageId ?? 0;
    }
    const answer = repeat('answered');
    first.answered.send({
      cmd: 'puback',
      messageId: (await first.answered.next('publish')).messageId ?? 0,
      reasonCode: 0,
    });
    firstAnswer = (await answer).json;
    first.away.drop();
    for (const payload of ['one', 'two']) locations.push(await queueAway(payload));
    const json = texts.map((payload) => ({ topic: 't', payload, qos: 2 }));
    locations.push(await queue('sending', json, {}));
    for (let left = 20; left > 0; left -= 1) {
      await finish(first.sending, (await first.sending.next('publish')).messageId ?? 0);
    }
    first['after PUBREC'].send({ cmd: 'pubrec', messageId: identifiers['after PUBREC'], reasonCode: 0x10 });
    await first['after PUBREC'].next('pubrel');
    await finish(first['after PUBCOMP'], identifiers['after PUBCOMP']);
    await bridge.kill();

    const restarting = bridge.restart();
    await Promise.all(
      MOMENTS.filter((moment) => moment !== 'away').map(async (moment) => {
        second[moment] = await connectionOf(moment, first[moment]);
        await second[moment].accept({ sessionPresent: moment !== 'lost', properties: { receiveMaximum: 4 } });
      }),
    );
    await restarting;
  });
  afterAll(async () => {
    await bridge?.kill();
    await broker?.stop();
    await redis?.stop();
    redis = null;
  });

  it('QoS 2, killed before PUBREC: the next process repeats the exchange, not the message', async () => {
    const moment = 'before PUBREC';
    const messageId = identifiers[moment];
    expect(await second[moment].next('publish')).toMatchObject({ messageId, dup: true });
    expect(await repeat(moment)).toMatchObject({ status: 409, json: { type: '/problems/still-running' } });
    await finish(second[moment], messageId);
    await expectReplay(moment, { qos: 2, reasonCode: 0 });
    expect(fresh(moment)).toHaveLength(1);
  });

  it('QoS 2, killed between PUBREC and PUBCOMP: the next process only releases, and knows what PUBREC said', async () => {
    const moment = 'after PUBREC';
    await second[moment].next('pubrel');
    second[moment].send({ cmd: 'pubcomp', messageId: identifiers[moment], reasonCode: 0 });
    await expectReplay(moment, { qos: 2, reasonCode: 0x10, matched: false });
    expect(received(second[moment])).toEqual([]);
    expect(fresh(moment)).toHaveLength(1);
  });

  it('QoS 2, killed right after PUBCOMP: whether it was recorded or not, the outcome is the same', async () => {
    const moment = 'after PUBCOMP';
    answerAll(second[moment]);
    await expectReplay(moment, { qos: 2, reasonCode: 0 });
    expect(received(second[moment])).toEqual([]);
    expect(fresh(moment)).toHaveLength(1);
  });

  it('QoS 2, killed, and the broker lost the session: the outcome is unknown, for every repeat', async () => {
    await expectReplay('lost', { type: '/problems/outcome-unknown' });
    await expectReplay('lost', { type: '/problems/outcome-unknown' });
    expect(received(second.lost)).toEqual([]);
    expect(fresh('lost')).toHaveLength(1);
  });

  it('QoS 1, killed before PUBACK: a repeat publishes again', async () => {
    const answer = repeat('QoS 1');
    const { messageId = 0 } = await second['QoS 1'].next('publish');
    second['QoS 1'].send({ cmd: 'puback', messageId, reasonCode: 0 });
    const { status, headers } = await answer;
    expect([status, headers['idempotency-replayed']]).toEqual([200, undefined]);
    expect(fresh('QoS 1')).toHaveLength(2);
  });

  it('QoS 1, killed after the answer: a repeat gets it again', async () => {
    await expectReplay('answered', firstAnswer as object);
    expect(fresh('answered')).toHaveLength(1);
  });

  it('what was queued with the broker away is published in order by the next process, and its outcome is found', async () => {
    expect(await queueAway('two')).toBe(locations[1]);
    locations.push(await queueAway('three'));
    expect((await bridge.request<Outcome>('GET', locations[0] ?? '')).json).toMatchObject({ state: 'pending' });
    const connection = await connectionOf('away', first.away);
    await connection.accept({ sessionPresent: true });
    for (let left = 6; left > 0; left -= 1) {
      const { qos, messageId = 0 } = await connection.next('publish');
      if (qos === 1) connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
      else await finish(connection, messageId);
    }
    for (const location of [0, 1, 3]) {
      const results = await until(() => resultsOf(locations[location]), { what: 'done' });
      expect(results).toMatchObject([{ qos: 1 }, { qos: 2 }]);
    }
    const names = ['one', 'two', 'three'].flatMap((payload) => [`${payload} at 1`, `${payload} at 2`]);
    expect(fresh('away').map(({ payload }) => payload.toString())).toEqual(names);
  });

  it('killed while it sends the outbox: all of it arrives, in order, QoS 2 once', async () => {
    answerAll(second.sending);
    await until(() => resultsOf(locations[2]), { what: 'done', within: 10_000 });
    const sent = [...received(first.sending), ...received(second.sending)].map(({ payload }) => payload.toString());
    expect([...new Set(sent)]).toEqual(texts);
    const anew = fresh('sending').map(({ payload }) => payload.toString());
    expect(new Set(anew).size).toBe(anew.length);
  });
});

const pathOf = (moment: Moment) => `/v1/connections/${encodeURIComponent(moment)}`;

/** Declares the Connection, and accepts it. */
async function attached(moment: Moment, properties: object): Promise<ScriptedConnection> {
  const json = { sessionExpiryInterval: 3600, cleanStart: false, connectTimeout: 60 };
  const answer = bridge.request('PUT', pathOf(moment), { json });
  const connection = await connectionOf(moment, null);
  await connection.accept({ properties });
  expect((await answer).status).toBe(201);
  return connection;
}

/** The latest network connection of a ClientID, once it is another than that one. */
function connectionOf(moment: Moment, former: ScriptedConnection | null): Promise<ScriptedConnection> {
  const latest = () => {
    const found = broker.connections.findLast(({ connect }) => connect?.clientId === moment);
    return found === undefined || found === former ? null : found;
  };
  return until(latest, { what: `CONNECT of ${moment}`, within: 15_000 });
}

/** The request with the key, as often as it is made. */
function repeat(moment: Moment): Promise<Answer<Outcome>> {
  const qos = moment === 'QoS 1' || moment === 'answered' ? 1 : 2;
  const headers = { 'idempotency-key': 'order 4711' };
  return bridge.request('POST', `${pathOf(moment)}/publish`, { json: { topic: 't', payload: 'pay', qos }, headers });
}

async function queue(moment: Moment, json: unknown, more: Record<string, string>): Promise<string> {
  const headers = { prefer: 'respond-async', ...more };
  const answer = await bridge.request<Outcome>('POST', `${pathOf(moment)}/publish`, { json, headers });
  expect(answer.status).toBe(202);
  return String(answer.headers.location);
}

/** At QoS 1 and 2, with an Idempotency-Key. */
function queueAway(payload: string): Promise<string> {
  const json = [1, 2].map((qos) => ({ topic: 't', payload: `${payload} at ${qos}`, qos }));
  return queue('away', json, { 'idempotency-key': payload });
}

async function resultsOf(location = ''): Promise<unknown[] | null> {
  const { json } = await bridge.request<Outcome>('GET', location);
  return json.state === 'done' ? (json.results ?? null) : null;
}

async function finish(connection: ScriptedConnection, messageId: number): Promise<void> {
  connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
  await connection.next('pubrel', (packet) => packet.messageId === messageId);
  connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
}

/** Acknowledges all that comes at QoS 2. */
function answerAll(connection: ScriptedConnection): void {
  const each = async (cmd: 'publish' | 'pubrel', reply: 'pubrec' | 'pubcomp') => {
    for (;;) {
      const { messageId = 0 } = await connection.next(cmd, undefined, 20_000);
      connection.send({ cmd: reply, messageId, reasonCode: 0 });
    }
  };
  each('publish', 'pubrec').catch(() => undefined);
  each('pubrel', 'pubcomp').catch(() => undefined);
}

async function expectReplay(moment: Moment, outcome: object): Promise<void> {
  const decided = async () => {
    const answer = await repeat(moment);
    return answer.status === 409 ? null : answer;
  };
  const answer = await until(decided, { what: 'the outcome' });
  expect(answer.json).toMatchObject(outcome);
  expect(answer.headers['idempotency-replayed']).toBe('true');
}

function received(connection: ScriptedConnection): IPublishPacket[] {
  return connection.received.filter((packet): packet is IPublishPacket => packet.cmd === 'publish');
}

/** What this broker was sent as new by a ClientID, by all processes: without DUP. */
function fresh(moment: Moment): IPublishPacket[] {
  const own = broker.connections.filter(({ connect }) => connect?.clientId === moment);
  return own.flatMap(received).filter(({ dup }) => !dup);
}
