import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { startBridgeProcess } from '../helpers/bridge-process.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { freePort, freePorts } from '../helpers/ports.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const USE_ANOTHER_SERVER = 0x9c;
const SERVER_MOVED = 0x9d;

let a: ScriptedBroker;
let b: ScriptedBroker;
let c: ScriptedBroker;
let bridge: TestBridge;

/** What the operator allows beside what the profile names. */
let allowed: (url: string) => boolean;

beforeEach(async () => {
  [a, b, c] = await Promise.all([startScriptedBroker(), startScriptedBroker(), startScriptedBroker()]);
  allowed = () => true;
  bridge = await createTestBridge({ url: a.url, isUrlAllowed: (url) => allowed(url) });
});
afterEach(async () => {
  await Promise.all([a, b, c].map((broker) => broker.stop()));
  await bridge.end();
});

const view = (id = 'x') => bridge.getConnection(id);
const untilState = (state: string, id = 'x') => until(async () => (await view(id)).state === state, { what: state });
/** A Connection at a URL of its own, where `allowed` says where it may be sent. */
const atUrl = (document: object = {}) =>
  Object.fromEntries(Object.entries({ url: a.url, ...document }).filter(([, value]) => value !== undefined));
const hostOf = ({ url }: ScriptedBroker) => url.replace('mqtt://', '');

function open(document: object = {}) {
  const opening = bridge.declareConnection('x', valid(atUrl({ id: 'x', sessionExpiryInterval: 600, ...document })));
  return opening.then(({ connection }) => connection);
}
/** Answers the next CONNECT there. */
async function answer(broker: ScriptedBroker, connack: object = {}): Promise<ScriptedConnection> {
  const connection = await broker.nextConnection();
  await connection.accept(connack);
  return connection;
}
const refer = (reasonCode: number, to: ScriptedBroker) => ({
  reasonCode,
  properties: { serverReference: hostOf(to) },
});

describe('several addresses', () => {
  it('that are silent share the time', async () => {
    const url = [a, b, c].map((broker) => broker.url);
    const started = Date.now();
    const opening = bridge.openConnection(valid({ id: 'x', url, connectTimeout: 1 })).catch((problem) => problem);
    expect(await opening).toMatchObject({ type: 'no-answer' });
    expect(Date.now() - started).toBeLessThan(2_500);
    expect([a, b, c].map(({ connections }) => connections.length)).toEqual([1, 1, 1]);
  });

  it('one that failed is tried after the others, by other Connections too, but not left out', async () => {
    const silent = await listenSilently();
    const dead = `mqtt://127.0.0.1:${silent.port}`;
    try {
      const url = [dead, b.url];
      const opening = open({ url, connectTimeout: 2 });
      await answer(b);
      await opening;
      expect(silent.connections).toBe(1);

      const other = bridge.openConnection(valid({ id: 'y', url: [dead, c.url], connectTimeout: 2 }));
      await answer(c);
      await other;
      expect(silent.connections).toBe(1);

      // All others gone: it is not left out.
      for (const broker of [b, c]) await broker.stop();
      await until(() => silent.connections > 1, { what: 'another attempt', within: 10_000 });
    } finally {
      await silent.stop();
    }
  });

  it.each([
    ['5.0', { reasonCode: 0x88 }],
    ['3.1.1', { returnCode: 3 }],
  ])('one that is not available is passed over, on %s', async (protocolVersion, connack) => {
    const persistence = protocolVersion === '5.0' ? {} : { sessionExpiryInterval: undefined, cleanSession: false };
    const opening = open({ url: [a.url, b.url], protocolVersion, ...persistence });
    await answer(a, connack);
    await answer(b);
    expect(await opening).toMatchObject({ state: 'online' });
  });

  it('a refusal that time will not mend is the word of all of them', async () => {
    const opening = open({ url: [a.url, b.url] });
    await answer(a, { reasonCode: 0x87 });
    expect(await opening).toMatchObject({ state: 'refused' });
    expect(b.connections).toHaveLength(0);
  });

  it('an IPv6 literal', async () => {
    const port = await freePort();
    const mosquitto = await startMosquitto({ config: [`listener ${port} ::1`] });
    try {
      const connection = await open({ url: `mqtt://[::1]:${port}` });
      expect(connection).toMatchObject({ state: 'online' });
      expect(mosquitto.log()).toMatch(/New client connected from ::1:\d+ as x /);
    } finally {
      await mosquitto.stop();
    }
  });
});

describe('Server Reference', () => {
  it('CONNACK 0x9C: followed for this attach, with the same CONNECT', async () => {
    const opening = open({ username: 'u', password: 'p', will: { topic: 'w', payload: 'gone' } });
    await answer(a, refer(USE_ANOTHER_SERVER, b));
    const there = await b.nextConnection();
    expect(await there.accept()).toMatchObject({
      clientId: 'x',
      username: 'u',
      password: Buffer.from('p'),
      will: { topic: 'w' },
      clean: false,
    });
    expect(await opening).toMatchObject({ state: 'online', reason: null });
    there.drop();
    await answer(a, { sessionPresent: true });
    await untilState('online');
    expect(b.connections).toHaveLength(1);
  });

  it('CONNACK 0x9D: remembered, and the old address is asked again when the new one is gone', async () => {
    const opening = open();
    await answer(a, refer(SERVER_MOVED, b));
    const there = await answer(b);
    await opening;
    there.drop();
    const again = await answer(b, { sessionPresent: true });
    await untilState('online');
    expect(a.connections).toHaveLength(1);
    await b.stop();
    await again.closed;
    await answer(a, { sessionPresent: true });
    await untilState('online');
  });

  it('CONNACK 0x9D is said to one client: another one at the same address is not concerned', async () => {
    const opening = open();
    await answer(a, refer(SERVER_MOVED, b));
    await answer(b);
    await opening;
    const other = bridge.openConnection(valid(atUrl({ id: 'y' })));
    await answer(a);
    expect((await other).connection.state).toBe('online');
  });

  it.each([
    ['0x9C', USE_ANOTHER_SERVER, 1],
    ['0x9D', SERVER_MOVED, 2],
  ])('DISCONNECT %s: the next attempt goes there', async (_name, reasonCode, visits) => {
    const opening = open();
    const first = await answer(a);
    await opening;
    first.send({ cmd: 'disconnect', ...refer(reasonCode, b) });
    const second = await answer(b);
    await untilState('online');
    second.drop();
    await answer(visits === 1 ? a : b);
    await untilState('online');
    expect(b.connections).toHaveLength(visits);
  });

  it('several references are tried in turn', async () => {
    const gone = await freePort();
    const opening = open();
    await answer(a, {
      reasonCode: USE_ANOTHER_SERVER,
      properties: { serverReference: `127.0.0.1:${gone} ${hostOf(c)}` },
    });
    await answer(c);
    expect(await opening).toMatchObject({ state: 'online' });
  });

  it('a circle is left after three hops', async () => {
    const opening = open();
    await answer(a, refer(USE_ANOTHER_SERVER, b));
    await answer(b, refer(USE_ANOTHER_SERVER, a));
    await answer(a, refer(USE_ANOTHER_SERVER, b));
    await answer(b, refer(USE_ANOTHER_SERVER, a));
    expect(await opening).toMatchObject({ state: 'refused', reason: { reasonCode: USE_ANOTHER_SERVER } });
    expect([a, b].map(({ connections }) => connections.length)).toEqual([2, 2]);
  });

  it('without a reference, or with one that cannot be read: refused', async () => {
    for (const properties of [{}, { serverReference: '' }, { serverReference: 'u:p@evil/x ::1 [::1 a:b' }]) {
      const opening = open();
      await answer(a, { reasonCode: USE_ANOTHER_SERVER, properties });
      expect(await opening).toMatchObject({ state: 'refused' });
      await bridge.deleteConnection('x', { session: 'keep', will: null });
    }
  });

  it.each([
    ['of a profile that does not name it', { url: undefined }, () => true],
    ['of a URL, where the operator does not allow it', {}, (url: string) => url !== b.url],
  ])('is reported and not followed: %s', async (_what, document, isAllowed) => {
    allowed = isAllowed;
    const opening = open(document);
    await answer(a, refer(SERVER_MOVED, b));
    expect(await opening).toMatchObject({
      state: 'refused',
      reason: { code: 'broker-refused', reasonCode: SERVER_MOVED },
      connack: { properties: { serverReference: hostOf(b) } },
    });
    expect(b.connections).toHaveLength(0);
  });

  it('DISCONNECT with one that is not allowed: reported, and the next attempt goes where it went before', async () => {
    allowed = () => false;
    const opening = open();
    const first = await answer(a);
    await opening;
    first.send({ cmd: 'disconnect', ...refer(SERVER_MOVED, b) });
    await until(async () => (await view()).reason !== null, { what: 'a reason' });
    expect(await view()).toMatchObject({
      state: 'offline',
      reason: { reasonCode: SERVER_MOVED, serverReference: hostOf(b) },
    });
    await answer(a, { sessionPresent: true });
    await untilState('online');
    expect(b.connections).toHaveLength(0);
  });

  it('the profile’s own addresses need no permission', async () => {
    await bridge.end();
    const urls = [a.url, b.url];
    bridge = await createTestBridge({ url: '', profile: { urls } });
    const opening = open({ url: undefined });
    await answer(a, refer(USE_ANOTHER_SERVER, b));
    await answer(b);
    expect(await opening).toMatchObject({ state: 'online' });
  });

  it('ALLOW_URLS is what allows it', async () => {
    const server = await startBridgeProcess({ env: { ALLOW_URLS: `${a.url},${b.url}` } });
    try {
      const declare = (id: string) =>
        server.request('PUT', `/v1/connections/${id}`, { json: { url: a.url, sessionExpiryInterval: 600 } });
      const first = declare('one');
      await answer(a, refer(USE_ANOTHER_SERVER, b));
      await answer(b);
      expect((await first).json).toMatchObject({ state: 'online' });
      const second = declare('two');
      await answer(a, refer(USE_ANOTHER_SERVER, c));
      expect((await second).json).toMatchObject({ state: 'refused' });
      expect(c.connections).toHaveLength(0);
    } finally {
      await server.stop();
    }
  });

  it('never leads to a link-local or metadata address, whatever is allowed', async () => {
    const opening = open();
    await answer(a, { reasonCode: USE_ANOTHER_SERVER, properties: { serverReference: '169.254.169.254:1883' } });
    expect(await opening).toMatchObject({
      state: 'refused',
      reason: { code: 'broker-refused', reasonCode: USE_ANOTHER_SERVER },
    });
  });
});

/** A server that accepts connections and says nothing. */
async function listenSilently(): Promise<{ port: number; readonly connections: number; stop: () => Promise<void> }> {
  const [port = 0] = await freePorts(1);
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {});
    socket.resume();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port,
    get connections() {
      return connections;
    },
    async stop() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
