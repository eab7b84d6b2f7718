import { randomBytes } from 'node:crypto';
import type { IPublishPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type BridgeProcess, type Environment, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const LEASE_TTL_MS = 2_000;
/** How long the fail-over of a dead instance's work may take; and a start, on a machine that is busy with other tests. */
const FAIL_OVER_MS = LEASE_TTL_MS + 5_000;
const START_MS = 30_000;

/**
 * What is under way when the process is killed. Each has a publisher to itself: that is tested below, and the keys were
 * chosen so that no two belong to the same slot.
 */
const KEYS = { 'before PUBREC': 'order-1', 'after PUBREC': 'order-2', lost: 'order-3', queued: 'order-4' } as const;
const MOMENTS = [...(Object.keys(KEYS) as (keyof typeof KEYS)[]), 'without a key'] as const;
type Moment = (typeof MOMENTS)[number];

interface Outcome {
  type?: string;
  qos?: number;
  state?: string;
  result?: { qos?: number } | null;
}

let redis: RedisServer | null = null;

async function onRedis(): Promise<Environment> {
  redis ??= await startRedis({ appendfsync: 'always' });
  const key = randomBytes(32).toString('base64');
  return { STORE_URL: redis.url, BRIDGE_SECRET_KEY: key, LEASE_TTL_MS: String(LEASE_TTL_MS) };
}

const ways = {
  'SQLite, and started again': { environment: async () => ({}), another: false, withinMs: START_MS },
  'Redis, and started again': {
    environment: async () => ({ ...(await onRedis()), NODE_ID: 'a' }),
    another: false,
    withinMs: START_MS,
  },
  'Redis, and another instance takes over': { environment: onRedis, another: true, withinMs: FAIL_OVER_MS },
};

describe.each(Object.entries(ways))('publishes without a Connection, killed by kill -9, over %s', (_name, way) => {
  let broker: ScriptedBroker;
  let killed: BridgeProcess;
  let bridge: BridgeProcess;
  /** Of the process that was killed, and of the next one. */
  const first = {} as Record<Moment, ScriptedConnection>;
  const second = {} as Record<Moment, ScriptedConnection>;
  const identifiers = {} as Record<Moment, number>;
  let location = '';
  let tookMs = 0;

  beforeAll(async () => {
    broker = await startScriptedBroker();
    const env = { MQTT_URL: broker.url, STORE_PREFIX: randomBytes(6).toString('hex'), ...(await way.environment()) };
    killed = await startBridgeProcess({ env });
    for (const moment of MOMENTS) {
      const answer = publish(killed, moment);
      first[moment] = await broker.nextConnection();
      await first[moment].accept();
      identifiers[moment] = (await first[moment].next('publish')).messageId ?? 0;
      if (moment === 'queued') location = String((await answer).headers.location);
      else answer.catch(() => undefined);
    }
    first['after PUBREC'].send({ cmd: 'pubrec', messageId: identifiers['after PUBREC'], reasonCode: 0 });
    await first['after PUBREC'].next('pubrel');
    if (way.another) bridge = await startBridgeProcess({ env });
    await killed.kill();

    const since = performance.now();
    if (!way.another) bridge = killed;
    const restarting = way.another ? Promise.resolve() : killed.restart();
    await Promise.all(
      MOMENTS.map(async (moment) => {
        second[moment] = await successorOf(first[moment]);
        await second[moment].accept({ sessionPresent: moment !== 'lost' });
      }),
    );
    tookMs = performance.now() - since;
    await restarting;
  }, 60_000);
  afterAll(async () => {
    await Promise.all([killed?.kill(), bridge?.kill(), broker?.stop(), redis?.stop()]);
    redis = null;
  });

  /** The next network connection with the same ClientID. */
  function successorOf(former: ScriptedConnection): Promise<ScriptedConnection> {
    const clientId = former.connect?.clientId;
    const find = () => {
      const latest = broker.connections.findLast(({ connect }) => connect?.clientId === clientId);
      return latest === former ? null : latest;
    };
    return until(find, { what: `CONNECT of ${clientId}`, within: START_MS });
  }

  /** Sent as new, by whomever: without DUP. */
  function fresh(moment: Moment): IPublishPacket[] {
    const all = broker.connections.flatMap(({ received }) => received);
    return all.filter(
      (packet): packet is IPublishPacket => packet.cmd === 'publish' && packet.topic === topicOf(moment) && !packet.dup,
    );
  }

  it('each slot has a ClientID of its own, and it stays', () => {
    const clientIds = new Set(MOMENTS.map((moment) => first[moment].connect?.clientId));
    expect(clientIds.size).toBe(MOMENTS.length);
    for (const clientId of clientIds) expect(clientId).toMatch(/^[0-9A-Za-z]{22}$/);
  });

  it(`the slots are taken again within ${way.withinMs} ms`, () => {
    expect(tookMs).toBeLessThan(way.withinMs);
  });

  it('before PUBREC: the exchange is finished, the message not sent anew, and a repeat gets the outcome', async () => {
    const moment = 'before PUBREC';
    const messageId = identifiers[moment];
    expect(await second[moment].next('publish')).toMatchObject({ messageId, dup: true });
    expect(await publish(bridge, moment)).toMatchObject({ status: 409, json: { type: '/problems/still-running' } });
    await exchange(second[moment], messageId);
    await expectReplay(moment, { qos: 2, reasonCode: 0 });
    expect(fresh(moment)).toHaveLength(1);
  });

  it('after PUBREC: only PUBREL is sent, and a repeat gets the outcome', async () => {
    const moment = 'after PUBREC';
    const messageId = identifiers[moment];
    await second[moment].next('pubrel', (packet) => packet.messageId === messageId);
    second[moment].send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
    await expectReplay(moment, { qos: 2, reasonCode: 0 });
    expect(second[moment].received.some(({ cmd }) => cmd === 'publish')).toBe(false);
  });

  it('and the broker lost the session: the outcome is unknown, for every repeat', async () => {
    await expectReplay('lost', { type: '/problems/outcome-unknown' });
    await expectReplay('lost', { type: '/problems/outcome-unknown' });
    expect(fresh('lost')).toHaveLength(1);
  });

  it('queued: it is sent once, and its outcome is found', async () => {
    const messageId = identifiers.queued;
    expect(await second.queued.next('publish')).toMatchObject({ messageId, dup: true });
    await exchange(second.queued, messageId);
    const done = async () => {
      const { json } = await bridge.request<Outcome>('GET', location);
      return json.state === 'done' ? json.result : null;
    };
    expect(await until(done, { what: 'done' })).toMatchObject({ qos: 2 });
    expect(fresh('queued')).toHaveLength(1);
  });

  it('without a key nobody learns the outcome, but the exchange is finished', async () => {
    const moment = 'without a key';
    const messageId = identifiers[moment];
    expect(await second[moment].next('publish')).toMatchObject({ messageId, dup: true });
    await exchange(second[moment], messageId);
    expect(fresh(moment)).toHaveLength(1);
  });

  it('a publisher that was taken to be finished is given back then', async () => {
    await second['without a key'].next('disconnect', undefined, 10_000);
  });

  async function expectReplay(moment: Moment, outcome: object): Promise<void> {
    const decided = async () => {
      const answer = await publish(bridge, moment);
      return answer.status === 409 ? null : answer;
    };
    const answer = await until(decided, { what: 'the outcome' });
    expect(answer.json).toMatchObject(outcome);
    expect(answer.headers['idempotency-replayed']).toBe('true');
  }
});

const topicOf = (moment: Moment) => `pooled/${moment.replaceAll(' ', '-')}`;

/** The request of a moment, as often as it is made: what is queued as a raw body, the others as JSON. */
function publish(bridge: BridgeProcess, moment: Moment): Promise<Answer<Outcome>> {
  const headers = moment === 'without a key' ? {} : { 'idempotency-key': KEYS[moment] };
  if (moment === 'queued') {
    const path = `/v1/topics/${topicOf(moment)}?qos=2`;
    return bridge.request('PUT', path, { body: 'x', headers: { ...headers, prefer: 'respond-async' } });
  }
  return bridge.request('POST', '/v1/publish', { json: { topic: topicOf(moment), payload: 'x', qos: 2 }, headers });
}

async function exchange(connection: ScriptedConnection, messageId: number): Promise<void> {
  connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
  await connection.next('pubrel', (packet) => packet.messageId === messageId);
  connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
}
