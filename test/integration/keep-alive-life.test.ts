import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AnsweredConnection,
  type AnsweringBroker,
  type Connack,
  startAnsweringBroker,
} from '../helpers/answering-broker.ts';
import { type Answer, type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoSub, type Subscriber } from '../helpers/mosquitto-clients.ts';
import { until } from '../helpers/until.ts';

/** Keep Alive and Connect Timeout: what is sent in time, and how soon what is dead is found. */

type Version = '5.0' | '3.1.1' | '3.1';
const VERSIONS: readonly Version[] = ['5.0', '3.1.1', '3.1'];
/** How late a busy machine may be, in milliseconds. */
const SLACK = 1_000;
/** For a PINGREQ, which a client sends at the end of its Keep Alive at the latest. [MQTT-3.1.2-20] */
const PING_SLACK = 450;

interface View {
  readonly state: string;
  readonly since: string;
  readonly reason: { readonly code: string } | null;
}

interface Opened {
  readonly id: string;
  readonly broker: AnsweringBroker;
  /** The first one. */
  readonly connection: AnsweredConnection;
}

let bridge: BridgeProcess;
const brokers: AnsweringBroker[] = [];
let count = 0;

beforeAll(async () => {
  bridge = await startBridge();
});

afterAll(async () => {
  await bridge?.stop();
  await Promise.all(brokers.map((broker) => broker.stop()));
});

const newId = () => {
  count += 1;
  return `k${count}`;
};

function startBridge(): Promise<BridgeProcess> {
  const urls = ['mqtt', 'mqtts', 'ws', 'wss'].map((scheme) => `${scheme}://127.0.0.1:*`);
  return startBridgeProcess({ env: { MQTT_URL: 'mqtt://127.0.0.1:9', ALLOW_URLS: urls.join(',') } });
}

const at = (id: string) => `/v1/connections/${id}`;
const view = async (of: BridgeProcess, id: string) => (await of.request<View>('GET', at(id))).json;
const becomes = (of: BridgeProcess, id: string, state: string, within = 10_000) =>
  until(async () => ((await view(of, id)).state === state ? performance.now() : null), {
    what: `${id} is ${state}`,
    within,
  });

/** A Connection with a broker of its own. */
async function open(document: object, connack: Connack = {}, of = bridge): Promise<Opened> {
  const broker = await startAnsweringBroker({ connack: () => connack });
  brokers.push(broker);
  const id = newId();
  const answer = await of.request<View>('PUT', at(id), { json: { url: broker.url, ...document } });
  expect(answer.json, answer.text).toMatchObject({ state: 'online' });
  return { id, broker, connection: await broker.connection(0) };
}

const pings = ({ packets }: AnsweredConnection) => packets.filter(({ packet }) => packet.cmd === 'pingreq');

/** Times without a packet of the client, in milliseconds, of which the first begins at CONNECT. */
async function silences(connection: AnsweredConnection, count: number): Promise<number[]> {
  await until(() => pings(connection).length >= count, { what: `${count} PINGREQ`, within: 15_000 });
  const times = [connection.acceptedAt, ...connection.packets.map(({ at }) => at)];
  return times.slice(1).map((time, index) => time - (times[index] ?? 0));
}

describe.concurrent('PINGREQ', () => {
  it.each(VERSIONS.flatMap((version) => [1, 2].map((keepAlive) => ({ version, keepAlive }))))(
    '$version: comes within a Keep Alive of $keepAlive s, again and again',
    async ({ version, keepAlive }) => {
      const { broker, connection } = await open({ protocolVersion: version, keepAlive });
      for (const silence of await silences(connection, 3)) {
        expect(silence).toBeLessThanOrEqual(keepAlive * 1_000 + PING_SLACK);
      }
      expect(broker.connections).toHaveLength(1);
    },
  );

  it.each(VERSIONS)('%s: does not come with a Keep Alive of 0', async (version) => {
    const { id, connection } = await open({ protocolVersion: version, keepAlive: 0 });
    expect(connection.connect.keepAlive).toBe(0);
    await delay(2_500);
    expect(connection).toMatchObject({ packets: [], closed: false });
    expect(await view(bridge, id)).toMatchObject({ state: 'online' });
  });

  it('comes although the broker sends all the time', async () => {
    const { broker, connection } = await open({ keepAlive: 1 });
    const talk = setInterval(() => {
      connection.send({ cmd: 'publish', topic: 't', payload: 'x', qos: 0, dup: false, retain: false });
    }, 50);
    const seen = await silences(connection, 3).finally(() => clearInterval(talk));
    for (const silence of seen) expect(silence).toBeLessThanOrEqual(1_000 + PING_SLACK);
    expect(broker.connections).toHaveLength(1);
  });

  it('is not answered in the middle of a Keep Alive: a broker that answers is never given up', async () => {
    const { id, broker, connection } = await open({ keepAlive: 1 });
    for (let sent = 0; sent < 15; sent += 1) {
      const answer = await bridge.request('POST', `${at(id)}/publish`, { json: { topic: 't', payload: '' } });
      expect(answer.status).toBe(202);
      await delay(200);
    }
    expect(connection.closed).toBe(false);
    expect(broker.connections).toHaveLength(1);
  });

  describe('obeys the Server Keep Alive', () => {
    it.each([
      { keepAlive: 60, serverKeepAlive: 1 },
      { keepAlive: 0, serverKeepAlive: 1 },
      { keepAlive: 1, serverKeepAlive: 2 },
    ])('$serverKeepAlive instead of $keepAlive', async ({ keepAlive, serverKeepAlive }) => {
      const { id, connection } = await open({ keepAlive }, { properties: { serverKeepAlive } });
      const seen = await silences(connection, 2);
      for (const silence of seen) expect(silence).toBeLessThanOrEqual(serverKeepAlive * 1_000 + PING_SLACK);
      expect((await view(bridge, id)) as object).toMatchObject({ connack: { properties: { serverKeepAlive } } });
    });

    it.each([
      { keepAlive: 1, serverKeepAlive: 60 },
      { keepAlive: 1, serverKeepAlive: 65_535 },
      { keepAlive: 1, serverKeepAlive: 0 },
    ])('$serverKeepAlive instead of $keepAlive: nothing for some seconds', async ({ keepAlive, serverKeepAlive }) => {
      const { id, connection } = await open({ keepAlive }, { properties: { serverKeepAlive } });
      await delay(2_500);
      expect(connection).toMatchObject({ packets: [], closed: false });
      expect(await view(bridge, id)).toMatchObject({ state: 'online' });
    });
  });
});

describe.concurrent('a broker that falls silent is found within 1.5 × Keep Alive', () => {
  it.each([
    ...VERSIONS.flatMap((version) => [1, 2].map((keepAlive) => ({ version, keepAlive, server: null }))),
    { version: '5.0', keepAlive: 60, server: 1 },
    { version: '5.0', keepAlive: 1, server: 2 },
  ])('$version, $keepAlive s, Server Keep Alive $server', async ({ version, keepAlive, server }) => {
    const connack = server === null ? {} : { properties: { serverKeepAlive: server } };
    const { id, broker, connection } = await open({ protocolVersion: version, keepAlive }, connack);
    connection.fallSilent();
    const silentSince = performance.now();
    await until(() => connection.closed, { what: 'the bridge gives the connection up', within: 20_000 });
    const effective = (server ?? keepAlive) * 1_000;
    expect(performance.now() - silentSince).toBeLessThanOrEqual(1.5 * effective + SLACK);
    // Not before it was asked whether it still lives, either.
    expect(pings(connection).length).toBeGreaterThan(0);
    expect((await broker.connection(1))?.connect).toMatchObject({ clientId: id, cleanStart: version !== '5.0' });
    await becomes(bridge, id, 'online');
  });

  it('although the bridge sends all the time', async () => {
    const { id, connection } = await open({ keepAlive: 1 });
    connection.fallSilent();
    const silentSince = performance.now();
    while (!connection.closed && performance.now() - silentSince < 8_000) {
      await bridge.request('POST', `${at(id)}/publish`, { json: { topic: 't', payload: '', timeout: 1 } });
      await delay(100);
    }
    expect(connection.closed).toBe(true);
    expect(performance.now() - silentSince).toBeLessThanOrEqual(1_500 + SLACK);
  });

  it('and a QoS 1 publish into the silence is not answered with 200 before it was acknowledged', async () => {
    const { id, broker, connection } = await open({ keepAlive: 2 });
    connection.fallSilent();
    const json = { topic: 't', payload: 'x', qos: 1, timeout: 8 };
    const answer = await bridge.request('POST', `${at(id)}/publish`, { json });
    const acknowledged = broker.connections
      .slice(1)
      .some(({ packets }) => packets.some(({ packet }) => packet.cmd === 'publish'));
    if (answer.status === 200) expect(acknowledged).toBe(true);
    else expect(answer).toMatchObject({ status: 504, json: { type: '/problems/outcome-unknown' } });
  });

  it.each(VERSIONS)('Mosquitto, stopped with SIGSTOP (%s)', async (version) => {
    const mosquitto = await startMosquitto();
    const id = newId();
    const document = { url: mosquitto.url, protocolVersion: version, keepAlive: 1, connectTimeout: 2 };
    const answer = await bridge.request('PUT', at(id), { json: document });
    expect(answer.json).toMatchObject({ state: 'online' });
    mosquitto.signal('SIGSTOP');
    const stoppedAt = performance.now();
    try {
      const foundAt = await until(
        async () => ((await view(bridge, id)).state === 'online' ? null : performance.now()),
        { what: 'it is not online' },
      );
      expect(foundAt - stoppedAt).toBeLessThanOrEqual(1_500 + SLACK);
      const publish = { topic: 't', payload: 'x', timeout: 0.5 };
      expect((await bridge.request('POST', `${at(id)}/publish`, { json: publish })).status).toBe(502);
      expect(await view(bridge, id)).toMatchObject({ state: expect.stringMatching(/^(offline|connecting)$/) });
    } finally {
      mosquitto.signal('SIGCONT');
    }
    await becomes(bridge, id, 'online');
    await bridge.request('DELETE', at(id));
    await mosquitto.stop();
  });
});

describe('connectTimeout', () => {
  const servers: { close: () => void }[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  /** Takes TCP connections, and never says anything. */
  async function startSilentServer(): Promise<{ port: number; sockets: readonly Socket[] }> {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => {});
      sockets.push(socket.resume());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    };
    servers.push({ close });
    return { port: (server.address() as AddressInfo).port, sockets };
  }

  const schemes = ['mqtt', 'mqtts', 'ws', 'wss'];
  const versions = schemes.flatMap((scheme) =>
    (scheme === 'mqtt' ? VERSIONS : (['5.0'] as const)).map((version) => ({ scheme, version })),
  );

  it.concurrent.each(versions)('POST over $scheme, $version: 504, and nothing is kept', async ({ scheme, version }) => {
    const { port, sockets } = await startSilentServer();
    const id = newId();
    const json = { id, url: `${scheme}://127.0.0.1:${port}`, protocolVersion: version, connectTimeout: 1 };
    const before = performance.now();
    const answer = await bridge.request('POST', '/v1/connections', { json });
    const ms = performance.now() - before;
    expect(answer.json).toMatchObject({ status: 504, type: '/problems/no-answer' });
    expect(answer.status).toBe(504);
    expect(ms).toBeLessThanOrEqual(1_000 + SLACK);
    expect(ms).toBeGreaterThanOrEqual(900);
    expect((await bridge.request('GET', at(id))).status).toBe(404);
    expect(sockets).toHaveLength(1);
    await until(() => sockets.every((socket) => socket.closed), {
      what: 'the bridge closes the socket',
      within: 2_000,
    });
  });

  it.concurrent.each(schemes)('PUT over %s: kept, offline, with the reason', async (scheme) => {
    const { port } = await startSilentServer();
    const id = newId();
    const json = { url: `${scheme}://127.0.0.1:${port}`, connectTimeout: 1 };
    const before = performance.now();
    const answer = await bridge.request('PUT', at(id), { json });
    expect(performance.now() - before).toBeLessThanOrEqual(1_000 + SLACK);
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      state: expect.stringMatching(/^(offline|connecting)$/),
      reason: { code: 'no-answer' },
    });
  });

  it.concurrent('of another length', async () => {
    const { port } = await startSilentServer();
    const id = newId();
    const json = { id, url: `mqtt://127.0.0.1:${port}`, connectTimeout: 3 };
    const before = performance.now();
    expect((await bridge.request('POST', '/v1/connections', { json })).status).toBe(504);
    const ms = performance.now() - before;
    expect(ms).toBeGreaterThanOrEqual(2_900);
    expect(ms).toBeLessThanOrEqual(3_000 + SLACK);
  });
});

/** One freeze for all: each has a Connection of its own, and publishes right after it. */
describe('a bridge that was frozen for longer than 1.5 × Keep Alive', () => {
  const KEEP_ALIVE = 2;
  const FREEZE = 1.5 * KEEP_ALIVE * 1_000 + 1_000;
  const silent = VERSIONS.flatMap((version) => [0, 1, 2].map((qos) => ({ version, qos })));
  const opened = new Map<unknown, Opened & { since: string; answer: Promise<Answer<unknown>> }>();
  let own: BridgeProcess;
  let untouched: Opened;
  let reconnectedAfter: Promise<number>;
  let mosquitto: Mosquitto;
  let witness: Subscriber;
  let atMosquitto: { version: Version; id: string; answers: Promise<Answer<unknown>[]> }[];

  const publish = (id: string, qos: number, text: string) =>
    own.request('POST', `${at(id)}/publish`, { json: { topic: 'frozen', payload: text, qos, timeout: 8 } });

  beforeAll(async () => {
    [own, mosquitto] = await Promise.all([startBridge(), startMosquitto()]);
    witness = await mosquittoSub(mosquitto, ['-t', 'frozen', '-q', '1']);
    const before = new Map<unknown, Opened & { since: string }>();
    for (const row of silent) {
      const session = row.version === '5.0' ? { sessionExpiryInterval: 60 } : { cleanSession: false };
      // A session that is there, so that an exchange of QoS 2 can be finished.
      const connack = row.version === '3.1' ? {} : { sessionPresent: true };
      const broker = await startAnsweringBroker({ connack: (_, index) => (index === 0 ? {} : connack) });
      brokers.push(broker);
      const id = newId();
      const document = { url: broker.url, protocolVersion: row.version, keepAlive: KEEP_ALIVE, ...session };
      const { json } = await own.request<View>('PUT', at(id), { json: document });
      before.set(row, { id, broker, connection: await broker.connection(0), since: json.since });
    }
    untouched = await open({ keepAlive: KEEP_ALIVE, sessionExpiryInterval: 60 }, {}, own);
    const ids = VERSIONS.map((version) => ({ version, id: newId() }));
    for (const { version, id } of ids) {
      const json = { url: mosquitto.url, protocolVersion: version, keepAlive: KEEP_ALIVE };
      expect((await own.request('PUT', at(id), { json })).json).toMatchObject({ state: 'online' });
    }

    // A network that forgot the connections: what is sent goes nowhere, and nobody says so.
    for (const { connection } of [...before.values(), untouched]) connection.fallSilent();
    process.kill(own.pid, 'SIGSTOP');
    await delay(FREEZE);
    // Requests that wait for it, and are there when it thaws.
    for (const [row, each] of before) {
      opened.set(row, { ...each, answer: publish(each.id, (row as { qos: number }).qos, 'thawed') });
    }
    atMosquitto = ids.map(({ version, id }) => ({
      version,
      id,
      answers: Promise.all([
        publish(id, 0, `${id} first`),
        publish(id, 0, `${id} second`),
        publish(id, 1, `${id} third`),
      ]),
    }));
    process.kill(own.pid, 'SIGCONT');
    const thawedAt = performance.now();
    reconnectedAfter = untouched.broker.connection(1).then(() => performance.now() - thawedAt);
    reconnectedAfter.catch(() => {});
  });

  afterAll(async () => {
    await own?.stop();
    await witness?.stop();
    await mosquitto?.stop();
  });

  it.each(silent)('$version: connects again before it sends a QoS $qos PUBLISH', async (row) => {
    const before = opened.get(row);
    if (before === undefined) throw new Error('it was not opened');
    const { id, broker, connection } = before;
    const answer = await before.answer;
    expect(answer.status, answer.text).toBe(row.qos === 0 ? 202 : 200);
    expect(connection.packets.map(({ packet }) => packet.cmd)).not.toContain('publish');
    const next = await broker.connection(1);
    expect(next.connect).toMatchObject({ clientId: id, cleanStart: false });
    await until(() => next.packets.some(({ packet }) => packet.cmd === 'publish'), { what: 'PUBLISH' });
    await until(() => connection.closed, { what: 'the stale socket is destroyed' });
    await becomes(own, id, 'online');
    expect((await view(own, id)).since).not.toBe(before.since);
  });

  it('notices by itself, without any request', async () => {
    // What was over while it was frozen needs no further waiting.
    expect(await reconnectedAfter).toBeLessThanOrEqual(2 * SLACK);
    const sent = untouched.connection.packets.map(({ packet }) => packet.cmd);
    expect(sent.filter((cmd) => cmd !== 'pingreq')).toEqual([]);
    await becomes(own, untouched.id, 'online');
  });

  it.each(VERSIONS)('%s: with Mosquitto, a publish right after it either arrives or fails', async (version) => {
    const { id = '', answers = [] } = atMosquitto.find((each) => each.version === version) ?? {};
    const statuses = (await answers).map(({ status }) => status);
    expect(statuses).toHaveLength(3);
    await becomes(own, id, 'online');
    // Through the same Connection, after all of them.
    expect((await publish(id, 1, `${id} end`)).status).toBe(200);
    await until(() => witness.lines().includes(`${id} end`), { what: 'the end' });
    const accepted = ['first', 'second', 'third'].filter((_, index) => (statuses[index] ?? 500) < 300);
    expect(witness.lines()).toEqual(expect.arrayContaining(accepted.map((text) => `${id} ${text}`)));
    const connects = mosquitto.log().match(new RegExp(`New client connected from \\S+ as ${id} `, 'g')) ?? [];
    expect(connects).toHaveLength(2);
  });
});
