import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { freePort } from '../helpers/ports.ts';

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto();
  bridge = await startBridgeProcess({
    env: { MQTT_URL: broker.url, ALLOW_URLS: 'mqtt://127.0.0.1:*', NODE_ID: 'one' },
  });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

/** What Mosquitto logs of the CONNECT packets of a ClientID: protocol (1: 3.1, 2: 3.1.1, 5: 5.0), clean, keep alive. */
const connects = (clientId: string) =>
  [...broker.log().matchAll(/New client connected from \S+ as (\S+) \((p\d, c\d, k\d+)/g)].flatMap(([, id, how]) =>
    id === clientId ? [how] : [],
  );

const open = (json: unknown) => bridge.request('POST', '/v1/connections', { json });

describe.each([
  {
    protocolVersion: '5.0',
    as: 'p5',
    sessionPresent: true,
    persistent: { cleanStart: false, sessionExpiryInterval: 300 },
  },
  { protocolVersion: '3.1.1', as: 'p2', sessionPresent: true, persistent: { cleanSession: false } },
  // Its CONNACK has no Session Present flag. [MQTT 3.1 §3.2]
  { protocolVersion: '3.1', as: 'p1', sessionPresent: false, persistent: { cleanSession: false } },
])('a Connection that speaks MQTT $protocolVersion', ({ protocolVersion, as, sessionPresent, persistent }) => {
  const id = `life${as}`;
  const path = `/v1/connections/${id}`;

  it('is opened with POST once the broker accepted it', async () => {
    const document = {
      id,
      protocolVersion,
      ...persistent,
      keepAlive: 33,
      subscriptions: [{ filter: `${id}/#`, qos: 1 }],
    };
    const answer = await open(document);
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toBe(path);
    expect(connects(id)).toEqual([`${as}, c0, k33`]);
    expect(answer.json).toMatchObject({
      id,
      clientId: id,
      state: 'online',
      owner: 'one',
      generation: 1,
      connack: { sessionPresent: false, reasonCode: 0 },
      parameters: { protocolVersion, ...persistent, keepAlive: 33, hold: 'always', broker: 'default' },
      subscriptions: [{ filter: `${id}/#`, qos: 1, granted: { qos: 1 } }],
      queue: { depth: 0, bytes: 0, dropped: 0 },
      warnings: [],
    });
    const again = await open(document);
    expect(again.status).toBe(200);
    expect(again.json).toMatchObject({ id, state: 'online' });
    expect(connects(id)).toHaveLength(1);
  });

  it('refuses POST with other parameters', async () => {
    const answer = await open({ id, protocolVersion, ...persistent, keepAlive: 34 });
    expect(answer.status).toBe(409);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.json).toMatchObject({ type: '/problems/different-parameters', status: 409 });
    expect(connects(id)).toHaveLength(1);
  });

  it('receives what others publish', async () => {
    await mosquittoPub(broker, ['-t', `${id}/a`, '-m', 'hello', '-q', '1']);
    const answer = await bridge.request('GET', `${path}/messages?wait=10`);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ messages: [{ topic: `${id}/a`, payload: 'hello', encoding: 'utf8', qos: 1 }] });
  });

  it('is detached with DISCONNECT, and keeps its session at the broker', async () => {
    const answer = await bridge.request('POST', `${path}/detach`);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ state: 'parked' });
    await broker.waitForLog(new RegExp(`Client ${id} disconnected\\.`));
    await mosquittoPub(broker, ['-t', `${id}/b`, '-m', 'meanwhile', '-q', '1']);
  });

  it('is attached again to the same session', async () => {
    const answer = await bridge.request('POST', `${path}/attach`);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ state: 'online', connack: { sessionPresent } });
    if (sessionPresent) expect(answer.json).toMatchObject({ generation: 1 });
    const messages = await bridge.request('GET', `${path}/messages?wait=10&topic=${encodeURIComponent(`${id}/b`)}`);
    expect(messages.json).toMatchObject({ messages: [{ topic: `${id}/b`, payload: 'meanwhile' }] });
  });

  it('publishes its Will neither on detach nor on DELETE, and is forgotten by both', async () => {
    const wills = await mosquittoSub(broker, ['-t', `will/${id}`]);
    const will = { topic: `will/${id}`, payload: 'gone', qos: 1 };
    expect((await bridge.request('PATCH', path, { json: { will } })).status).toBe(200);
    const answer = await bridge.request('DELETE', path);
    expect(answer.status).toBe(204);
    expect((await bridge.request('GET', path)).status).toBe(404);
    await mosquittoPub(broker, ['-t', `will/${id}`, '-m', 'end']);
    expect(await wills.waitForLines(1)).toEqual(['end']);
    await wills.stop();
    // Judged by a client of its own: the broker has no session of that ClientID any more.
    const version = { '5.0': 'mqttv5', '3.1.1': 'mqttv311', '3.1': 'mqttv31' }[protocolVersion] ?? '';
    const keep = protocolVersion === '5.0' ? ['-x', '60'] : [];
    const before = broker.log().length;
    const probe = await mosquittoSub(broker, ['-i', id, '-c', '-V', version, ...keep, '-t', 'x']);
    expect(broker.log().slice(before)).toMatch(new RegExp(`Sending CONNACK to ${id} \\(0, 0\\)`));
    await probe.kill();
  });

  it('publishes its Will on DELETE when asked to', async () => {
    const wills = await mosquittoSub(broker, ['-t', `will2/${id}`, '-C', '1']);
    const will = { topic: `will2/${id}`, payload: 'gone', qos: 1 };
    expect((await open({ id: `${id}w`, protocolVersion, will })).status).toBe(201);
    expect((await bridge.request('DELETE', `/v1/connections/${id}w?will=send`)).status).toBe(204);
    expect(await wills.waitForLines(1)).toEqual(['gone']);
    expect((await wills.exited).code).toBe(0);
  });

  it('keeps the session of a DELETE with session=keep', async () => {
    const document = { id: `${id}k`, protocolVersion, ...persistent };
    expect((await open(document)).status).toBe(201);
    expect((await bridge.request('DELETE', `/v1/connections/${id}k?session=keep`)).status).toBe(204);
    const answer = await open(document);
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ connack: { sessionPresent } });
    expect((await bridge.request('DELETE', `/v1/connections/${id}k`)).status).toBe(204);
  });
});

describe('declaring a Connection with PUT', () => {
  const path = '/v1/connections/put';
  const document = { clientId: 'put-client', cleanStart: false, sessionExpiryInterval: 60 };

  it('is idempotent, and does not connect again', async () => {
    const created = await bridge.request('PUT', path, { json: document });
    expect(created.status).toBe(201);
    expect(created.json).toMatchObject({ id: 'put', clientId: 'put-client', state: 'online' });
    const again = await bridge.request('PUT', path, {
      json: { ...document, id: 'put', keepAlive: 60, hold: 'always' },
    });
    expect(again.status).toBe(200);
    expect(connects('put-client')).toEqual(['p5, c0, k60']);
  });

  it('refuses an id in the document that is not the one of the path', async () => {
    const answer = await bridge.request('PUT', path, { json: { ...document, id: 'other' } });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errors: [{ pointer: '/id' }] });
  });

  it('takes the ClientID from the id', async () => {
    const answer = await bridge.request('PUT', '/v1/connections/by-id', { json: {} });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ id: 'by-id', clientId: 'by-id' });
    expect(connects('by-id')).toEqual(['p5, c1, k60']);
  });

  it('keeps what cannot be attached, and tells why', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`;
    const answer = await bridge.request('PUT', '/v1/connections/far', { json: { url, connectTimeout: 2 } });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      id: 'far',
      state: 'offline',
      reason: { code: 'broker-unreachable' },
      connack: null,
    });
    expect((await bridge.request('GET', '/v1/connections/far')).json).toMatchObject({ state: 'offline' });
    const publish = await bridge.request('POST', '/v1/connections/far/publish', {
      json: { topic: 'a', payload: 'b', timeout: 0.3 },
    });
    expect(publish.status).toBe(502);
    expect(publish.json).toMatchObject({ type: '/problems/broker-unreachable' });
    expect((await bridge.request('DELETE', '/v1/connections/far')).status).toBeOneOf([202, 204]);
    expect((await bridge.request('GET', '/v1/connections/far')).status).toBe(404);
  });
});

describe('one ClientID, one Connection', () => {
  it('refuses a second Connection with the same ClientID at the same broker', async () => {
    expect((await open({ id: 'first', clientId: 'same' })).status).toBe(201);
    for (const method of ['POST', 'PUT'] as const) {
      const target = method === 'POST' ? '/v1/connections' : '/v1/connections/second';
      const answer = await bridge.request(method, target, { json: { id: 'second', clientId: 'same' } });
      expect(answer.status).toBe(409);
      expect(answer.json).toMatchObject({ type: '/problems/client-id-in-use' });
    }
    expect((await bridge.request('GET', '/v1/connections/second')).status).toBe(404);
  });

  it('refuses another broker or ClientID for an existing Connection', async () => {
    expect((await open({ id: 'fixed' })).status).toBe(201);
    for (const change of [{ clientId: 'moved' }, { url: broker.url }]) {
      const answer = await bridge.request('PUT', '/v1/connections/fixed', { json: change });
      expect(answer.status, JSON.stringify(change)).toBe(409);
      expect(answer.json).toMatchObject({ type: '/problems/immutable-parameter' });
    }
    const patched = await bridge.request('PATCH', '/v1/connections/fixed', { json: { clientId: 'moved' } });
    expect(patched.status).toBe(409);
    expect(connects('fixed')).toHaveLength(1);
  });

  it('tells that another client took the ClientID over, and takes it back when told to attach', async () => {
    expect((await open({ id: 'contested' })).status).toBe(201);
    const rival = await mosquittoSub(broker, ['-i', 'contested', '-V', 'mqttv5', '-t', 'x']);
    await expect
      .poll(async () => (await bridge.request('GET', '/v1/connections/contested')).json, { timeout: 25_000 })
      .toMatchObject({ state: 'takenOver' });
    const refused = await bridge.request('POST', '/v1/connections/contested/publish', {
      json: { topic: 'a', payload: '' },
    });
    expect(refused.status).toBe(409);
    expect((await bridge.request('POST', '/v1/connections/contested/attach')).json).toMatchObject({ state: 'online' });
    await rival.kill();
  });
});

describe('many at once', () => {
  it.each(['POST', 'PUT'])(
    'identical %s requests make one Connection: one 201, and 200 for all others',
    async (method) => {
      for (let round = 0; round < 10; round += 1) {
        const id = `many${method}${round}`;
        const target = method === 'POST' ? '/v1/connections' : `/v1/connections/${id}`;
        const send = () => bridge.request(method, target, { json: { id, keepAlive: 30 } });
        const answers = await Promise.all(Array.from({ length: 15 }, send));
        const statuses = answers.map(({ status }) => status).sort();
        expect(statuses).toEqual([...Array.from({ length: 14 }, () => 200), 201]);
        expect(connects(id)).toHaveLength(1);
      }
    },
  );
});

describe('an assigned ClientID', () => {
  it('is the broker’s on 5.0', async () => {
    const answer = await bridge.request<{ id: string; clientId: string; warnings: unknown }>(
      'POST',
      '/v1/connections',
      {
        json: { keepAlive: 44, cleanStart: false, sessionExpiryInterval: 60 },
      },
    );
    expect(answer.status).toBe(201);
    const { id, clientId } = answer.json;
    expect(clientId).toMatch(/^auto-/);
    expect(id).toBe(clientId);
    expect(answer.headers.location).toBe(`/v1/connections/${clientId}`);
    expect(connects(clientId).at(-1)).toBe('p5, c0, k44');
    expect(answer.json).toMatchObject({ state: 'online' });
    expect(JSON.stringify(answer.json.warnings)).toMatch(/assigned/);
    expect((await bridge.request('GET', `/v1/connections/${clientId}`)).json).toMatchObject({ clientId });
  });

  it.each(['3.1.1', '3.1'])('is 22 characters of the bridge’s on %s', async (protocolVersion) => {
    const answer = await bridge.request<{ clientId: string }>('POST', '/v1/connections', {
      json: { clientId: '', protocolVersion },
    });
    expect(answer.status).toBe(201);
    expect(answer.json.clientId).toMatch(/^[0-9a-zA-Z]{22}$/);
    expect(connects(answer.json.clientId)).toHaveLength(1);
  });
});

describe('the list of Connections', () => {
  interface List {
    connections: { id: string; state: string }[];
    next: string | null;
  }

  it('is paged, and filtered by state', async () => {
    const ids = ['list-1', 'list-2', 'list-3'];
    for (const id of ids) expect((await open({ id, cleanStart: false, sessionExpiryInterval: 60 })).status).toBe(201);
    expect((await bridge.request('POST', '/v1/connections/list-2/detach')).status).toBe(200);
    const all: string[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const query: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
      const page = await bridge.request<List>('GET', `/v1/connections?limit=2${query}`);
      expect(page.status).toBe(200);
      expect(page.json.connections.length).toBeLessThanOrEqual(2);
      all.push(...page.json.connections.map(({ id }) => id));
      after = page.json.next;
    }
    expect(all.filter((id) => ids.includes(id)).sort()).toEqual(ids);
    expect(new Set(all).size).toBe(all.length);
    const parked = await bridge.request<List>('GET', '/v1/connections?state=parked');
    expect(parked.json.connections.map(({ id }) => id)).toEqual(['list-2']);
    expect((await bridge.request('GET', '/v1/connections?state=asleep')).status).toBe(400);
    expect((await bridge.request('GET', '/v1/connections?stat=parked')).status).toBe(400);
  });
});
