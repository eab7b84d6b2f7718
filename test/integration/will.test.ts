import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type AnsweringBroker, startAnsweringBroker } from '../helpers/answering-broker.ts';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub, type Subscriber } from '../helpers/mosquitto-clients.ts';
import { startRedis } from '../helpers/redis.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { until } from '../helpers/until.ts';

/**
 * When the broker publishes a Will, and what it publishes: Mosquitto decides, and mosquitto_sub judges. That a Will is
 * not published is judged by a message published after the broker has let the client go, never by waiting.
 */

type Version = '5.0' | '3.1.1' | '3.1';
const VERSIONS: readonly Version[] = ['5.0', '3.1.1', '3.1'];
const short = (version: Version) => `p${version.replaceAll('.', '')}`;
const persistent = (version: Version) =>
  version === '5.0' ? { cleanStart: false, sessionExpiryInterval: 600 } : { cleanSession: false };

interface View {
  readonly state: string;
  readonly generation: number;
  readonly connack: { readonly sessionPresent: boolean } | null;
}

let broker: Mosquitto;
let witness: Subscriber;
const bridges: BridgeProcess[] = [];
let shared: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto();
  witness = await mosquittoSub(broker, ['-V', 'mqttv5', '-q', '2', '-t', 'will/#', '-F', '%t|%q|%x']);
  shared = await startBridge();
});

afterAll(async () => {
  await Promise.all(bridges.map((bridge) => bridge.stop()));
  await witness?.stop();
  await broker?.stop();
});

async function startBridge(env: Readonly<Record<string, string>> = {}): Promise<BridgeProcess> {
  const bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ALLOW_URLS: 'mqtt://127.0.0.1:*', ...env } });
  bridges.push(bridge);
  return bridge;
}

const at = (id: string) => `/v1/connections/${encodeURIComponent(id)}`;
const hex = (text: string | Buffer) => Buffer.from(text).toString('hex');

async function open(bridge: BridgeProcess, id: string, document: object): Promise<void> {
  const answer = await bridge.request<View>('PUT', at(id), { json: document });
  expect(answer.json, answer.text).toMatchObject({ state: 'online' });
}

/** How often the broker has let go of a network connection of that client. */
const ends = (clientId: string) =>
  broker
    .log()
    .split('\n')
    .filter((line) => new RegExp(`^Client ${clientId} (disconnected|closed its connection)`).test(line)).length;

const ended = (clientId: string, times = 1) =>
  until(() => ends(clientId) >= times, { what: `the broker lets ${clientId} go` });

const seen = (id: string) => witness.lines().filter((line) => line.startsWith(`will/${id}/`));
const untilSeen = (line: string, within?: number) =>
  until(() => witness.lines().includes(line), { what: line, ...(within === undefined ? {} : { within }) });

let markers = 0;
/** What came under `will/{id}/` before a message that is published now. */
async function seenUpToNow(id: string): Promise<string[]> {
  markers += 1;
  const text = `marker ${markers}`;
  await mosquittoPub(broker, ['-q', '2', '-t', `will/${id}/marker`, '-m', text]);
  const marker = `will/${id}/marker|2|${hex(text)}`;
  await untilSeen(marker);
  return seen(id).filter((line) => !line.startsWith(`will/${id}/marker|`));
}

describe('what the broker publishes is what the document says', () => {
  const bytes = Buffer.from([0, 255, 254, 0x80, 10, 13, 0]);
  it.each(
    VERSIONS.flatMap((version) => [
      { version, what: 'text', will: { payload: 'fort – ☠', qos: 0 }, line: `0|${hex('fort – ☠')}` },
      {
        version,
        what: 'bytes',
        will: { payload: bytes.toString('base64'), encoding: 'base64', qos: 1 },
        line: `1|${hex(bytes)}`,
      },
      {
        version,
        what: 'json',
        will: { payload: { alive: false }, encoding: 'json', qos: 2 },
        line: `2|${hex('{"alive":false}')}`,
      },
      { version, what: 'nothing', will: { qos: 1 }, line: '1|' },
      { version, what: 'an empty text', will: { payload: '', qos: 2 }, line: '2|' },
    ]),
  )('$what on $version', async ({ version, what, will, line }) => {
    const id = `${short(version)}-${what.replaceAll(' ', '')}`;
    await open(shared, id, { protocolVersion: version, will: { topic: `will/${id}/t`, ...will } });
    expect((await shared.request('DELETE', `${at(id)}?will=send`)).status).toBe(204);
    await untilSeen(`will/${id}/t|${line}`);
    expect(await seenUpToNow(id)).toEqual([`will/${id}/t|${line}`]);
  });

  it.each(VERSIONS)('retained or not, on %s', async (version) => {
    for (const retain of [true, false]) {
      const id = `${short(version)}-retain-${retain}`;
      const topic = `will/${id}/t`;
      await open(shared, id, { protocolVersion: version, will: { topic, payload: 'gone', qos: 1, retain } });
      expect((await shared.request('DELETE', `${at(id)}?will=send`)).status).toBe(204);
      await untilSeen(`${topic}|1|${hex('gone')}`);
      // The retained message of another topic comes last: all that is retained came before it.
      await mosquittoPub(broker, ['-r', '-q', '1', '-t', `last/${id}`, '-m', 'last']);
      const filters = ['-t', topic, '-t', `last/${id}`];
      const late = await mosquittoSub(broker, ['-q', '2', ...filters, '-F', '%t %r %p']);
      await until(() => late.lines().includes(`last/${id} 1 last`), { what: 'the last retained message' });
      expect(late.lines().filter((line) => line.startsWith(topic))).toEqual(retain ? [`${topic} 1 gone`] : []);
      await late.stop();
    }
  });

  it('with all properties of 5.0', async () => {
    const id = 'properties';
    // -F cannot tell two user properties of the same name apart from one: each is a word here.
    const format = '%t|%q|%p|E=%E|F=%F|C=%C|R=%R|D=%D|P=%P';
    const judge = await mosquittoSub(broker, ['-V', 'mqttv5', '-q', '2', '-t', `props/${id}`, '-F', format]);
    await open(shared, id, {
      will: {
        topic: `props/${id}`,
        payload: 'größer',
        qos: 2,
        delayInterval: 0,
        messageExpiryInterval: 3600,
        payloadFormatIndicator: 1,
        contentType: 'text/plain; charset=utf-8',
        responseTopic: 'answers/7',
        correlationData: Buffer.from('corr-7').toString('base64'),
        userProperties: { k: ['v1', 'v2', 'v1'], other: 'x' },
      },
    });
    expect((await shared.request('DELETE', `${at(id)}?will=send`)).status).toBe(204);
    const [line = ''] = await judge.waitForLines(1);
    expect(line).toMatch(
      /^props\/properties\|2\|größer\|E=3(600|59\d)\|F=1\|C=text\/plain; charset=utf-8\|R=answers\/7\|D=corr-7\|P=/,
    );
    const pairs = line.slice(line.indexOf('|P=') + 3).split(' ');
    expect(pairs.filter((pair) => pair.startsWith('k:'))).toEqual(['k:v1', 'k:v2', 'k:v1']);
    expect(pairs).toContain('other:x');
    await judge.stop();
  });
});

describe.each(VERSIONS)('on %s the Will is not published', (version) => {
  const sessions = [
    { kept: 'a session that ends', session: {} },
    { kept: 'a session that is kept', session: persistent(version) },
  ];
  const document = (id: string, session: object) => ({
    protocolVersion: version,
    ...session,
    username: 'u',
    password: 'p',
    will: { topic: `will/${id}/t`, payload: 'gone', qos: 1 },
    subscriptions: [{ filter: `in/${id}`, qos: 1 }],
  });

  it.each(
    sessions.flatMap(({ kept, session }) => [
      { kept, session, method: 'DELETE', action: '', status: 204 },
      { kept, session, method: 'DELETE', action: '?session=keep', status: 204 },
      { kept, session, method: 'POST', action: '/detach', status: 200 },
    ]),
  )('with $kept, at $method $action', async ({ session, method, action, status }) => {
    const id = `${short(version)}-no${action.replaceAll(/\W/g, '-')}-${Object.keys(session).length}`;
    await open(shared, id, document(id, session));
    expect((await shared.request(method, `${at(id)}${action}`)).status).toBe(status);
    await ended(id);
    expect(await seenUpToNow(id)).toEqual([]);
    if (status === 200) {
      // Of a parked one the session is discarded by a client that has no Will.
      expect((await shared.request('DELETE', at(id))).status).toBe(204);
      expect(await seenUpToNow(id)).toEqual([]);
    }
  });

  it.each(sessions)('with $kept, when parameters are replaced', async ({ session }) => {
    const id = `${short(version)}-changes-${Object.keys(session).length}`;
    const first = document(id, session);
    await open(shared, id, first);
    const replaced = { ...first, will: { ...first.will, payload: 'replaced' } };
    const { will: _, ...withoutWill } = replaced;
    const changes = [
      { method: 'PATCH', json: { will: { payload: 'patched' } } },
      { method: 'PATCH', json: { username: 'other' } },
      { method: 'PATCH', json: { password: { base64: '/wA=' } } },
      { method: 'PATCH', json: { keepAlive: 61 } },
      { method: 'PUT', json: replaced },
      { method: 'PUT', json: { ...replaced, keepAlive: 62 } },
      { method: 'PUT', json: withoutWill },
      { method: 'PUT', json: { ...replaced, will: { ...replaced.will, topic: `will/${id}/u` } } },
    ];
    for (const [index, { method, json }] of changes.entries()) {
      const answer = await shared.request(method, at(id), { json });
      expect(answer.json, JSON.stringify(json)).toMatchObject({ state: 'online' });
      expect(answer.status).toBe(200);
      await ended(id, index + 1);
      expect(await seenUpToNow(id), JSON.stringify(json)).toEqual([]);
    }
    // The Will in force is the last one.
    expect((await shared.request('DELETE', `${at(id)}?will=send`)).status).toBe(204);
    await untilSeen(`will/${id}/u|1|${hex('replaced')}`);
    expect(await seenUpToNow(id)).toEqual([`will/${id}/u|1|${hex('replaced')}`]);
  });

  it.each(sessions)('with $kept, when it was taken out before the client is lost', async ({ session }) => {
    const id = `${short(version)}-removed-${Object.keys(session).length}`;
    await open(shared, id, document(id, session));
    expect((await shared.request('PATCH', at(id), { json: { will: null } })).status).toBe(200);
    expect((await shared.request('POST', `${at(id)}/detach`, { json: { will: 'send' } })).status).toBeOneOf([200, 409]);
    expect((await shared.request('DELETE', at(id))).status).toBe(204);
    await ended(id, 2);
    expect(await seenUpToNow(id)).toEqual([]);
  });
});

describe.each(VERSIONS)('on %s the Will is published', (version) => {
  const withWill = (id: string) => ({
    protocolVersion: version,
    ...persistent(version),
    will: { topic: `will/${id}/t`, payload: 'gone', qos: 1 },
  });

  it('at detach when asked for, once, and the session is kept', async () => {
    const id = `${short(version)}-yes-detach`;
    await open(shared, id, withWill(id));
    const answer = await shared.request('POST', `${at(id)}/detach`, { json: { will: 'send' } });
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ state: 'parked' });
    await untilSeen(`will/${id}/t|1|${hex('gone')}`);
    const again = await shared.request<View>('POST', `${at(id)}/attach`);
    expect(again.json).toMatchObject({ state: 'online' });
    if (version !== '3.1') expect(again.json).toMatchObject({ generation: 1, connack: { sessionPresent: true } });
    expect((await shared.request('DELETE', at(id))).status).toBe(204);
    await ended(id, 2);
    expect(await seenUpToNow(id)).toEqual([`will/${id}/t|1|${hex('gone')}`]);
  });

  it('at DELETE when asked for, and the session is discarded', async () => {
    const id = `${short(version)}-yes-delete`;
    await open(shared, id, withWill(id));
    expect((await shared.request('DELETE', `${at(id)}?will=send`)).status).toBe(204);
    await untilSeen(`will/${id}/t|1|${hex('gone')}`);
    expect(await seenUpToNow(id)).toHaveLength(1);
    if (version === '3.1') return;
    expect((await shared.request<View>('PUT', at(id), { json: withWill(id) })).json).toMatchObject({
      connack: { sessionPresent: false },
    });
    await shared.request('DELETE', at(id));
  });

  it('at DELETE when asked for, and the session is kept when that is asked for too', async () => {
    const id = `${short(version)}-yes-keep`;
    await open(shared, id, withWill(id));
    expect((await shared.request('DELETE', `${at(id)}?will=send&session=keep`)).status).toBe(204);
    await untilSeen(`will/${id}/t|1|${hex('gone')}`);
    expect(await seenUpToNow(id)).toHaveLength(1);
    if (version !== '3.1') {
      expect((await shared.request<View>('PUT', at(id), { json: withWill(id) })).json).toMatchObject({
        connack: { sessionPresent: true },
      });
    }
    await shared.request('DELETE', at(id));
  });
});

describe('a Will with a delay, when it is asked for', () => {
  const delayed = (id: string) => ({
    sessionExpiryInterval: 600,
    will: { topic: `will/${id}/t`, payload: 'gone', qos: 1, delayInterval: 2 },
  });

  it('is called off by an attach within the delay', async () => {
    const id = 'delay-attach';
    await open(shared, id, delayed(id));
    expect((await shared.request('POST', `${at(id)}/detach`, { json: { will: 'send' } })).status).toBe(200);
    expect((await shared.request('POST', `${at(id)}/attach`)).json).toMatchObject({ state: 'online' });
    // A Will with a longer delay, which nobody calls off, tells that the time is over.
    await open(shared, 'delay-clock', {
      ...delayed(id),
      will: { topic: `will/${id}/clock`, qos: 1, delayInterval: 3 },
    });
    expect((await shared.request('POST', `${at('delay-clock')}/detach`, { json: { will: 'send' } })).status).toBe(200);
    await untilSeen(`will/${id}/clock|1|`);
    expect(await seenUpToNow(id)).toEqual([`will/${id}/clock|1|`]);
  });
});

describe('the end of the process', () => {
  const all = VERSIONS.flatMap((version) =>
    [{}, persistent(version)].map((session) => ({
      id: `${short(version)}-${Object.keys(session).length === 0 ? 'ends' : 'kept'}`,
      document: { protocolVersion: version, ...session },
    })),
  );
  const openAll = async (bridge: BridgeProcess, prefix: string) => {
    for (const { id, document } of all) {
      const will = { topic: `will/${prefix}/${id}`, payload: 'gone', qos: 1 };
      await open(bridge, `${prefix}-${id}`, { ...document, will });
    }
  };
  const allEnded = async (prefix: string) => {
    for (const { id } of all) await ended(`${prefix}-${id}`);
  };

  it('SIGTERM publishes no Will, and after it neither does the next start', async () => {
    const bridge = await startBridge();
    await openAll(bridge, 'term');
    expect(await bridge.stop()).toEqual({ code: 0, signal: null });
    await allEnded('term');
    expect(await seenUpToNow('term')).toEqual([]);
    await bridge.restart();
    for (const { id } of all) await becomes(bridge, `term-${id}`, 'online');
    expect(await seenUpToNow('term')).toEqual([]);
    await bridge.stop();
  });

  it('SIGKILL publishes every Will, once', async () => {
    const bridge = await startBridge();
    await openAll(bridge, 'kill');
    await bridge.kill();
    await allEnded('kill');
    await until(() => seen('kill').length >= all.length, { what: 'all Wills' });
    expect((await seenUpToNow('kill')).sort()).toEqual(all.map(({ id }) => `will/kill/${id}|1|${hex('gone')}`).sort());
  });

  it('a detached Connection has no Will that a SIGKILL could publish', async () => {
    const bridge = await startBridge();
    await openAll(bridge, 'parked');
    for (const { id } of all) await bridge.request('POST', `${at(`parked-${id}`)}/detach`);
    await allEnded('parked');
    await bridge.kill();
    expect(await seenUpToNow('parked')).toEqual([]);
  });

  it('SIGKILL and a restart within the Will Delay Interval publish none; without a restart it comes after the delay', async () => {
    const delayed = (topic: string, delayInterval: number) => ({
      sessionExpiryInterval: 600,
      will: { topic: `will/delay/${topic}`, payload: 'gone', qos: 1, delayInterval },
    });
    const [back, gone] = await Promise.all([startBridge(), startBridge()]);
    await open(back, 'delay-back', delayed('back', 11));
    await open(gone, 'delay-gone', delayed('gone', 13));
    await Promise.all([back.kill(), gone.kill()]);
    const killedAt = performance.now();
    await back.restart();
    expect(await becomes(back, 'delay-back', 'online')).toMatchObject({
      generation: 1,
      connack: { sessionPresent: true },
    });
    expect(seen('delay'), 'the restart has to be quicker than the delay').toEqual([]);
    await untilSeen(`will/delay/gone|1|${hex('gone')}`, 25_000);
    // Mosquitto counts whole seconds.
    expect(performance.now() - killedAt).toBeGreaterThan(12_000);
    expect(await seenUpToNow('delay')).toEqual([`will/delay/gone|1|${hex('gone')}`]);
    await back.stop();
  }, 60_000);
});

function becomes(bridge: BridgeProcess, id: string, state: string): Promise<View> {
  return until(
    async () => {
      const { json } = await bridge.request<View>('GET', at(id));
      return json?.state === state ? json : null;
    },
    { what: `${id} is ${state}` },
  );
}

/** Where Mosquitto would hide what the bridge does: the bytes that it sends. */
describe('on the wire', () => {
  let wire: AnsweringBroker;

  afterEach(async () => {
    await shared.request('DELETE', `${at('w')}?session=keep`);
    await wire?.stop();
  });

  const document = (version: Version) => ({
    url: wire.url,
    protocolVersion: version,
    ...persistent(version),
    will: { topic: 'w', payload: 'gone', qos: 1 },
  });

  it.each(VERSIONS)(
    '%s: a detach says 0x00 without a Will, and with one 0x04 on 5.0, nothing on 3.x',
    async (version) => {
      wire = await startAnsweringBroker();
      await open(shared, 'w', document(version));
      const normal = await wire.connection(0);
      expect((await shared.request('POST', `${at('w')}/detach`)).status).toBe(200);
      await until(() => normal.closed, { what: 'the connection is closed' });
      expect(normal.disconnect).toMatchObject({ reasonCode: 0 });
      expect((await shared.request('POST', `${at('w')}/attach`)).status).toBe(200);
      const withWill = await wire.connection(1);
      expect((await shared.request('POST', `${at('w')}/detach`, { json: { will: 'send' } })).status).toBe(200);
      await until(() => withWill.closed, { what: 'the connection is closed' });
      if (version === '5.0') expect(withWill.disconnect).toMatchObject({ reasonCode: 4 });
      else expect(withWill.disconnect).toBeNull();
      expect(wire.connections).toHaveLength(2);
    },
  );

  // The session ends, and so does the delay of the Will; Mosquitto 2.0.11 waits all the same. [MQTT 5.0 §3.1.3.2.2]
  it.each([
    { how: 'DELETE', method: 'DELETE', action: '?will=send', json: undefined },
    { how: 'detach', method: 'POST', action: '/detach', json: { will: 'send', sessionExpiryInterval: 0 } },
  ])('5.0: with $how a Will that has a delay is not held back by the session', async ({ method, action, json }) => {
    wire = await startAnsweringBroker();
    await open(shared, 'w', { url: wire.url, sessionExpiryInterval: 600, will: { topic: 'w', delayInterval: 300 } });
    expect((await shared.request(method, `${at('w')}${action}`, { json })).status).toBeOneOf([200, 204]);
    const connection = await wire.connection(0);
    await until(() => connection.closed, { what: 'the connection is closed' });
    expect(connection.disconnect).toEqual({ reasonCode: 4, sessionExpiryInterval: 0 });
  });

  it.each(VERSIONS)('%s: a change of the Will says 0x00 before the new CONNECT', async (version) => {
    wire = await startAnsweringBroker();
    await open(shared, 'w', document(version));
    await shared.request('PATCH', at('w'), { json: { will: { payload: 'other' } } });
    const [before, after] = await Promise.all([wire.connection(0), wire.connection(1)]);
    expect(before.disconnect).toMatchObject({ reasonCode: 0 });
    expect(after.connect.will?.payload.toString()).toBe('other');
  });

  it.each(VERSIONS)(
    '%s: the session of a parked Connection is discarded by a CONNECT without Will',
    async (version) => {
      wire = await startAnsweringBroker();
      await open(shared, 'w', document(version));
      await shared.request('POST', `${at('w')}/detach`);
      expect((await shared.request('DELETE', at('w'))).status).toBe(204);
      const last = await wire.connection(1);
      expect(last.connect).toMatchObject({ clientId: 'w', cleanStart: true });
      expect(last.connect).not.toHaveProperty('will');
      if (version === '5.0') expect(last.connect.properties?.sessionExpiryInterval ?? 0).toBe(0);
      await until(() => last.closed, { what: 'the connection is closed' });
      expect(last.disconnect).toMatchObject({ reasonCode: 0 });
    },
  );

  it('5.0: when it is taken over it sends nothing any more, and does not come back', async () => {
    wire = await startAnsweringBroker();
    await open(shared, 'w', document('5.0'));
    const connection = await wire.connection(0);
    connection.send({ cmd: 'disconnect', reasonCode: 0x8e });
    await becomes(shared, 'w', 'takenOver');
    // Told by DISCONNECT alone, with the socket still open: it closes it. [MQTT 5.0 §3.14.4]
    await until(() => connection.closed, { what: 'the bridge closes the connection' });
    expect(connection.packets).toEqual([]);
    expect(connection.disconnect?.reasonCode ?? 0).not.toBe(4);
    expect((await shared.request('DELETE', `${at('w')}?session=keep`)).status).toBe(204);
    expect(wire.connections).toHaveLength(1);
  });

  it.each(['3.1.1', '3.1'] as const)('%s: when it is taken over it sends nothing any more', async (version) => {
    wire = await startAnsweringBroker();
    await open(shared, 'w', document(version));
    for (const index of [0, 1, 2]) (await wire.connection(index)).drop();
    await becomes(shared, 'w', 'takenOver');
    const sent = wire.connections.map(({ packets, disconnect }) => ({ packets, disconnect }));
    expect(sent).toEqual([0, 1, 2].map(() => ({ packets: [], disconnect: null })));
    expect((await shared.request('DELETE', `${at('w')}?session=keep`)).status).toBe(204);
    expect(wire.connections).toHaveLength(3);
  });

  it.each(VERSIONS)('%s: over one SQLite file the next process connects after DISCONNECT 0x00', async (version) => {
    wire = await startAnsweringBroker();
    const store = { STORE_URL: `sqlite:${temporaryDirectory('will')}/bridge.db` };
    const first = await startBridge(store);
    await open(first, 'w', document(version));
    expect((await first.stop()).code).toBe(0);
    const next = await startBridge(store);
    const [before, after] = [await wire.connection(0), await wire.connection(1)];
    expect(before.disconnect).toMatchObject({ reasonCode: 0 });
    expect(after.connect).toMatchObject({ clientId: 'w', cleanStart: false, will: { topic: 'w' } });
    await next.stop();
  });

  it('5.0: over one Redis the next instance connects after DISCONNECT 0x00', async () => {
    wire = await startAnsweringBroker();
    const redis = await startRedis();
    const store = { STORE_URL: redis.url, BRIDGE_SECRET_KEY: Buffer.alloc(32, 3).toString('base64') };
    const second = await startBridge({ ...store, NODE_ID: 'second' });
    const first = await startBridge({ ...store, NODE_ID: 'first' });
    await open(first, 'w', document('5.0'));
    expect((await first.stop()).code).toBe(0);
    // Whichever comes first: it takes the Connection by itself, or because it is told to.
    await second.request('POST', `${at('w')}/attach`);
    expect(await becomes(second, 'w', 'online')).toMatchObject({ owner: 'second' });
    const [before, after] = [await wire.connection(0), await wire.connection(1)];
    expect(before.disconnect).toEqual({ reasonCode: 0, sessionExpiryInterval: null });
    expect(after.connect).toMatchObject({ clientId: 'w', cleanStart: false, will: { topic: 'w' } });
    await second.stop();
    await redis.stop();
  });
});
