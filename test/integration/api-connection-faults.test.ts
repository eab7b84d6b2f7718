import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto();
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ALLOW_URLS: '*' } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

interface Problem {
  type: string;
  status: number;
  errors: { pointer: string; detail: string }[];
}

const declare = (json: unknown) => bridge.request<Problem>('PUT', '/v1/connections/faulty', { json });

it('names every fault of a document in one answer', async () => {
  const answer = await declare({
    broker: 'default',
    url: 'mqtt://127.0.0.1:1883',
    protocolVersion: '3.1.1',
    cleanStart: true,
    sessionExpiryInterval: 5,
    keepAlive: 65_536,
    will: { topic: 'a/+', payload: 'x', delayInterval: 5, qos: 3 },
    properties: { receiveMaximum: 0 },
    subscriptions: [{ filter: 'a/#/b' }, { filter: 'a+' }, { filter: 'ok', noLocal: true }],
    queue: { overflow: 'explode', maxMessage: 5 },
    surprise: 1,
  });
  expect(answer.status).toBe(400);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.json).toMatchObject({ type: '/problems/invalid-request', status: 400 });
  const pointers = answer.json.errors.map(({ pointer }) => pointer);
  expect(pointers).toEqual(
    expect.arrayContaining([
      '/cleanStart',
      '/sessionExpiryInterval',
      '/keepAlive',
      '/will/topic',
      '/will/delayInterval',
      '/will/qos',
      '/subscriptions/0/filter',
      '/subscriptions/1/filter',
      '/subscriptions/2/noLocal',
      '/queue/overflow',
      '/queue/maxMessage',
      '/surprise',
    ]),
  );
  expect(pointers.some((pointer) => pointer.startsWith('/properties'))).toBe(true);
  expect(pointers.some((pointer) => pointer === '/url' || pointer === '/broker')).toBe(true);
  for (const { detail } of answer.json.errors) expect(detail).toMatch(/^[A-Z`"].*\.$/s);
  expect((await bridge.request('GET', '/v1/connections/faulty')).status).toBe(404);
});

const v3 = { protocolVersion: '3.1.1' };
it.each([
  {
    what: 'an empty ClientID with a 3.x persistent session',
    document: { ...v3, clientId: '', cleanSession: false },
    pointer: '/clientId',
  },
  {
    what: 'a 3.1 ClientID over 23 bytes',
    document: { protocolVersion: '3.1', clientId: 'x'.repeat(24) },
    pointer: '/clientId',
  },
  { what: 'cleanSession on 5.0', document: { cleanSession: false }, pointer: '/cleanSession' },
  { what: 'cleanStart on 3.1.1', document: { ...v3, cleanStart: true }, pointer: '/cleanStart' },
  {
    what: 'CONNECT properties on 3.1.1',
    document: { ...v3, properties: { receiveMaximum: 5 } },
    pointer: '/properties',
  },
  { what: 'a Will with a wildcard', document: { will: { topic: 'a/#', payload: '' } }, pointer: '/will/topic' },
  { what: 'a Will without a topic', document: { will: { payload: '' } }, pointer: '/will/topic' },
  {
    what: 'noLocal with $share',
    document: { subscriptions: [{ filter: '$share/g/a', noLocal: true }] },
    pointer: '/subscriptions/0/noLocal',
  },
  {
    what: 'NUL in a filter',
    document: { subscriptions: [{ filter: 'a\u0000b' }] },
    pointer: '/subscriptions/0/filter',
  },
  { what: 'a lone surrogate', document: { username: 'a\ud800' }, pointer: '/username' },
  { what: 'NUL in the ClientID', document: { clientId: 'a\u0000' }, pointer: '/clientId' },
  {
    what: 'a topic over 65,535 bytes',
    document: { will: { topic: 'é'.repeat(32_768), payload: '' } },
    pointer: '/will/topic',
  },
  {
    what: 'one filter twice',
    document: { subscriptions: [{ filter: 'a' }, { filter: 'a' }] },
    pointer: '/subscriptions/1/filter',
  },
  { what: 'an unknown broker profile', document: { broker: 'nowhere' }, pointer: '/broker' },
  { what: 'TLS with a broker profile', document: { tls: { serverName: 'x' } }, pointer: '/tls' },
  {
    what: 'a certificate without its key',
    document: { url: 'mqtts://127.0.0.1', tls: { cert: 'x' } },
    pointer: '/tls/cert',
  },
  {
    what: 'WebSocket settings over TCP',
    document: { url: 'mqtt://127.0.0.1', websocket: { path: '/x' } },
    pointer: '/websocket',
  },
  { what: 'password on 3.1.1 without username', document: { ...v3, password: 'p' }, pointer: '/password' },
  {
    what: 'base64 that is none',
    document: { username: 'u', password: { base64: '%%%' } },
    pointer: '/password/base64',
  },
  { what: 'a number as text', document: { keepAlive: '60' }, pointer: '/keepAlive' },
  { what: 'a version that is none', document: { protocolVersion: '4' }, pointer: '/protocolVersion' },
  {
    what: 'a Will payload that is no base64',
    document: { will: { topic: 'a', payload: '*', encoding: 'base64' } },
    pointer: '/will/payload',
  },
])('explains $what', async ({ document, pointer }) => {
  const answer = await declare(document);
  expect(answer.status).toBe(400);
  expect(answer.json.errors.map((fault) => fault.pointer)).toContainEqual(
    expect.stringMatching(new RegExp(`^${pointer}(/|$)`)),
  );
});

describe('a warning, not a fault, is', () => {
  it.each([
    { what: 'cleanStart false without an expiry', document: { cleanStart: false } },
    { what: 'a ClientID over 23 bytes', document: { clientId: 'x'.repeat(24) } },
    { what: 'a ClientID with characters that some brokers refuse', document: { clientId: 'a/b' } },
    {
      what: 'credentials over plaintext to a host that is not loopback',
      document: { url: 'mqtt://192.0.2.1', username: 'u', password: 'p', connectTimeout: 1 },
    },
  ])('$what', async ({ document }) => {
    const answer = await bridge.request<{ warnings: { code: string; detail: string }[] }>(
      'PUT',
      '/v1/connections/warned',
      {
        json: document,
      },
    );
    expect(answer.status).toBe(201);
    expect(answer.json.warnings.length).toBeGreaterThan(0);
    expect((await bridge.request('DELETE', '/v1/connections/warned')).status).toBeOneOf([202, 204]);
  });
});

describe('HTTP', () => {
  it.each([
    { what: 'no JSON', options: { body: '{', headers: { 'content-type': 'application/json' } }, status: 400 },
    { what: 'no object', options: { json: [] }, status: 400 },
    { what: 'another media type', options: { body: '<x/>', headers: { 'content-type': 'text/xml' } }, status: 415 },
    { what: 'no body', options: {}, status: 400 },
  ])('answers a problem for a body that is $what', async ({ options, status }) => {
    const answer = await bridge.request('POST', '/v1/connections', options);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  });

  it.each([
    ['GET', '/nowhere', 404],
    ['GET', '/v1/connections/nobody', 404],
    ['GET', '/v1/connections/nobody/messages', 404],
    ['DELETE', '/v1/connections/nobody', 404],
    ['POST', '/v1/connections/nobody/attach', 404],
    ['PATCH', '/v1/connections', 405],
    ['PUT', '/v1/connections', 405],
    ['GET', '/v1/connections?limit=x', 400],
    ['GET', '/v1/connections?limit=0', 400],
    ['GET', '/v1/connections?surprise=1', 400],
    ['DELETE', '/v1/connections/nobody?session=maybe', 400],
  ])('%s %s is %i', async (method, path, status) => {
    const answer = await bridge.request(method, path);
    expect(answer.status).toBe(status);
    expect(answer.json).toMatchObject({ type: expect.stringMatching(/^\/problems\/[a-z-]+$/), status });
  });

  it('answers 406 to who does not take JSON', async () => {
    const answer = await bridge.request('GET', '/v1/connections', { headers: { accept: 'text/html' } });
    expect(answer.status).toBe(406);
  });
});
