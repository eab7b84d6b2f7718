import { describe, expect, test } from 'vitest';
import { faultsOf, validate } from './validate.ts';

const FULL = {
  id: 'plant-7',
  clientId: 'dashboard',
  url: ['wss://broker.example.com', 'mqtts://broker.example.com'],
  protocolVersion: '5.0',
  username: 'u',
  password: { base64: 'cA==' },
  connectTimeout: 10,
  keepAlive: 60,
  cleanStart: false,
  sessionExpiryInterval: 86_400,
  will: {
    topic: 'plant/7/state',
    payload: 'offline',
    encoding: 'utf8',
    qos: 1,
    retain: true,
    delayInterval: 5,
    messageExpiryInterval: 60,
    payloadFormatIndicator: 1,
    contentType: 'text/plain',
    responseTopic: 'replies',
    correlationData: 'AAE=',
    userProperties: { k: ['v1', 'v2'] },
  },
  properties: {
    receiveMaximum: 100,
    maximumPacketSize: 262_144,
    requestResponseInformation: true,
    requestProblemInformation: true,
    userProperties: { k: 'v' },
  },
  tls: { serverName: 'broker.example.com', alpn: ['mqtt'], rejectUnauthorized: true },
  websocket: { path: '/mqtt', headers: { 'X-Tenant': 'a' } },
  hold: 'always',
  onTakeover: 'yield',
  drainInterval: 60,
  idleTtl: null,
  subscriptions: [
    {
      filter: 'plant/7/#',
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionIdentifier: 7,
    },
  ],
  queue: { maxMessages: 100_000, maxBytes: 67_108_864, maxAge: 604_800, overflow: 'dropOldest' },
};

describe('a valid document', () => {
  test('has the defaults that the contract gives', () => {
    expect(validate({ clientId: 'a' }).parameters).toEqual({
      id: 'a',
      clientId: 'a',
      broker: 'default',
      protocolVersion: '5.0',
      connectTimeout: 10,
      keepAlive: 60,
      hold: 'always',
      onTakeover: 'yield',
      drainInterval: 60,
      idleTtl: null,
      queue: { maxMessages: 100_000, maxBytes: 67_108_864, maxAge: 604_800, overflow: 'dropOldest' },
    });
  });

  test('says everything that MQTT can say', () => {
    expect(validate(FULL).parameters).toEqual({
      ...FULL,
      properties: { ...FULL.properties, userProperties: { k: ['v'] } },
    });
  });

  test.each<[string, object, object]>([
    ['id from clientId', { clientId: 'a' }, { id: 'a', clientId: 'a' }],
    ['clientId from id', { id: 'a' }, { id: 'a', clientId: 'a' }],
    ['both', { id: 'a', clientId: 'b' }, { id: 'a', clientId: 'b' }],
    ['an id, and a ClientID to be assigned', { id: 'a', clientId: '' }, { id: 'a', clientId: '' }],
    ['a broker profile', { broker: 'default' }, { broker: 'default' }],
    ['"never" as a number', { clientId: 'a', sessionExpiryInterval: 0xffff_ffff }, { sessionExpiryInterval: 'never' }],
    ['"never"', { clientId: 'a', sessionExpiryInterval: 'never' }, { sessionExpiryInterval: 'never' }],
    ['part of a queue', { queue: { maxAge: 5 } }, { queue: { maxMessages: 100_000, maxBytes: 67_108_864, maxAge: 5 } }],
    ['a Will', { will: { topic: 'a' } }, { will: { topic: 'a', encoding: 'utf8', qos: 0, retain: false } }],
    ['a subscription', { subscriptions: [{ filter: 'a' }] }, { subscriptions: [{ filter: 'a', qos: 0 }] }],
    ['no subscriptions', { subscriptions: [] }, { subscriptions: [] }],
  ])('%s', (_, document, parameters) => {
    expect(validate(document).parameters).toMatchObject(parameters);
  });

  test('has no id where none is known, and a broker only where no URL is', () => {
    expect(validate({}).parameters).not.toHaveProperty('id');
    expect(validate({}).parameters.clientId).toBe('');
    expect(validate({ url: 'mqtts://h' }).parameters).not.toHaveProperty('broker');
  });

  test('leaves absent what only some versions know, so that the version alone can change', () => {
    const { parameters } = validate({ clientId: 'a', subscriptions: [{ filter: 'a' }], will: { topic: 'a' } });
    expect(faultsOf({ ...parameters, protocolVersion: '3.1' })).toEqual([]);
  });

  test.each([[FULL], [{ clientId: 'a' }], [{}], [{ clientId: 'a', protocolVersion: '3.1.1', cleanSession: false }]])(
    'is the same when it is validated again: %j',
    (document) => {
      const once = validate(document);
      expect(validate(once.parameters)).toEqual(once);
    },
  );

  test('is not changed by its validation', () => {
    const given = structuredClone(FULL);
    validate(given);
    expect(given).toEqual(FULL);
    const faulty = { ...structuredClone(FULL), keepAlive: -1, subscriptions: [{ filter: 5 }] };
    const before = structuredClone(faulty);
    expect(faultsOf(faulty)).toHaveLength(2);
    expect(faulty).toEqual(before);
  });
});

describe('whatever is wrong is said in a sentence of our own', () => {
  const garbage = [
    null,
    -1,
    1.5,
    2 ** 40,
    '',
    'x',
    true,
    [],
    [5],
    ['x', 5],
    {},
    { x: 1 },
    { base64: 5 },
    { base64: 'a', x: 1 },
  ];

  test.each(pathsIn(FULL).map((path) => [path.join('.'), path] as const))('%s', (_, path) => {
    for (const value of garbage) {
      for (const { pointer, detail } of faultsOf(replaced(FULL, path, value))) {
        expect(detail).not.toMatch(/invalid|expected|too (small|big)|undefined|\[object/i);
        expect(detail).toMatch(/^[`"A-Z].*\.$/);
        expect(pointer).toMatch(/^\//);
      }
    }
  });
});

/** The paths of an object's members, at every depth. */
function pathsIn(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [[name], ...pathsIn(member).map((path) => [name, ...path])]);
}

function replaced(whole: unknown, [first, ...rest]: readonly string[], value: unknown): unknown {
  if (first === undefined) return value;
  const copy: Record<string, unknown> = Object.assign(Array.isArray(whole) ? [] : {}, whole);
  copy[first] = replaced(copy[first], rest, value);
  return copy;
}
