import { globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestBridge, valid } from '../helpers/bridge.ts';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';
import { startScriptedBroker } from '../helpers/scripted-broker.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { until } from '../helpers/until.ts';

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto({ config: await accessControl() });
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

/** Lines of mosquitto.conf with which nobody may subscribe to `secret/#`; what an `acl_file` says holds for messages only. */
async function accessControl(): Promise<string[]> {
  const [plugin] = globSync('/{usr,usr/local,opt/homebrew}/lib/{,*/}mosquitto_dynamic_security.{so,dylib}');
  if (plugin === undefined) throw new Error('mosquitto_dynamic_security is missing: apt-get install mosquitto');
  const file = join(temporaryDirectory('access'), 'access.json');
  const rules = {
    defaultACLAccess: { publishClientSend: true, publishClientReceive: true, subscribe: true, unsubscribe: true },
    anonymousGroup: 'all',
    groups: [{ groupname: 'all', roles: [{ rolename: 'most' }] }],
    roles: [{ rolename: 'most', acls: [{ acltype: 'subscribeLiteral', topic: 'secret/#', allow: false }] }],
  };
  await writeFile(file, JSON.stringify(rules), { mode: 0o600 });
  return [`plugin ${plugin}`, `plugin_opt_config_file ${file}`];
}

interface Message {
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
  subscriptionIdentifiers?: number[];
}

interface Results {
  applied: boolean;
  results: { filter: string; granted: { qos: number | null; reasonCode: number; reason: string } }[];
}

let count = 0;

/** A Connection that is online and subscribed to nothing; its id is a prefix for topics too. */
async function connect(document: object = {}) {
  count += 1;
  const id = `options${count}`;
  const path = `/v1/connections/${id}`;
  const { json } = await bridge.request<{ state: string }>('PUT', path, { json: document });
  expect(json.state).toBe('online');
  return {
    id,
    subscribe: (body: unknown) => bridge.request<Results>('POST', `${path}/subscriptions`, { json: body }),
    publish: (message: object) => bridge.request('POST', `${path}/publish`, { json: message }),
    messages: async () =>
      (await bridge.request<{ messages: Message[] }>('GET', `${path}/messages?limit=1000`)).json.messages,
    /** All messages up to the one with this payload: what the broker sent before it has arrived by then. */
    messagesUpTo: (payload: string) =>
      until(
        async () => {
          const { messages } = (await bridge.request<{ messages: Message[] }>('GET', `${path}/messages`)).json;
          return messages.at(-1)?.payload === payload ? messages : null;
        },
        { what: `the message ${payload}` },
      ),
  };
}

/** Publishes as an independent client. */
const outsider = (...args: string[]) => mosquittoPub(broker, ['-V', '5', ...args]);

const payloads = (messages: readonly Message[]) => messages.map(({ payload }) => payload);

describe.each(['5.0', '3.1.1', '3.1'])('QoS on %s', (protocolVersion) => {
  it.each([0, 1, 2])('%i is granted, and the most that messages arrive at', async (qos) => {
    const { id, subscribe, messagesUpTo } = await connect({ protocolVersion });
    const answer = await subscribe({ filter: `${id}/+`, qos });
    expect(answer.json.results).toMatchObject([{ granted: { qos, reasonCode: qos } }]);
    for (const level of ['0', '1', '2']) await outsider('-t', `${id}/x`, '-q', level, '-m', level);
    const messages = await messagesUpTo('2');
    expect(messages.map((message) => message.qos)).toEqual([0, 1, 2].map((level) => Math.min(level, qos)));
  });
});

describe('No Local', () => {
  it.each([
    { noLocal: true, arrived: ['theirs'] },
    { noLocal: false, arrived: ['own', 'theirs'] },
  ])('$noLocal: $arrived', async ({ noLocal, arrived }) => {
    const { id, subscribe, publish, messagesUpTo } = await connect();
    await subscribe({ filter: `${id}/#`, qos: 1, noLocal });
    expect((await publish({ topic: `${id}/x`, payload: 'own', qos: 1 })).status).toBe(200);
    await outsider('-t', `${id}/x`, '-q', '1', '-m', 'theirs');
    expect(payloads(await messagesUpTo('theirs'))).toEqual(arrived);
  });

  it('on a shared subscription is a Protocol Error, and refused before it is sent', async () => {
    const { subscribe } = await connect();
    const answer = await subscribe([{ filter: 'ok' }, { filter: '$share/g/a', noLocal: true }]);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errors: [{ pointer: '/1/noLocal', reference: 'MQTT-3.8.3-4' }] });
  });
});

describe('Retain As Published', () => {
  it.each([true, false])('%s', async (retainAsPublished) => {
    const { id, subscribe, messagesUpTo } = await connect();
    await subscribe({ filter: `${id}/#`, qos: 1, retainAsPublished });
    await outsider('-t', `${id}/x`, '-q', '1', '-m', 'plain');
    await outsider('-t', `${id}/x`, '-q', '1', '-r', '-m', 'retained');
    const messages = await messagesUpTo('retained');
    expect(messages.map(({ retain }) => retain)).toEqual([false, retainAsPublished]);
  });
});

describe('Retain Handling', () => {
  it.each([
    { retainHandling: 0, arrived: ['kept', 'kept', 'end'], what: 'at every subscribe' },
    { retainHandling: 1, arrived: ['kept', 'end'], what: 'where the subscription is new' },
    { retainHandling: 2, arrived: ['end'], what: 'never' },
    { arrived: ['kept', 'kept', 'end'], what: 'absent: at every subscribe' },
  ])('$retainHandling: $what, though the options are the same', async ({ what: _, arrived, ...options }) => {
    const { id, subscribe, messagesUpTo } = await connect();
    await outsider('-t', `${id}/x`, '-q', '1', '-r', '-m', 'kept');
    for (let time = 0; time < 2; time += 1) {
      const { json } = await subscribe({ filter: `${id}/x`, qos: 1, ...options });
      expect(json).toMatchObject({ applied: true, results: [{ granted: { qos: 1 } }] });
    }
    await expect.poll(() => broker.log().split(`Received SUBSCRIBE from ${id}\n`)).toHaveLength(3);
    await outsider('-t', `${id}/x`, '-q', '1', '-m', 'end');
    const messages = await messagesUpTo('end');
    expect(payloads(messages)).toEqual(arrived);
    expect(messages.map(({ retain }) => retain)).toEqual(arrived.map((payload) => payload === 'kept'));
  });
});

describe('options that differ', () => {
  it('replace those before', async () => {
    const { id, subscribe, publish, messagesUpTo } = await connect();
    await subscribe({ filter: id, qos: 2, subscriptionIdentifier: 5 });
    await publish({ topic: id, payload: 'before', qos: 2 });
    const { json } = await subscribe({ filter: id, qos: 1, subscriptionIdentifier: 6 });
    expect(json.results).toMatchObject([{ qos: 1, granted: { qos: 1 } }]);
    await publish({ topic: id, payload: 'after', qos: 2 });
    expect(await messagesUpTo('after')).toMatchObject([
      { payload: 'before', qos: 2, subscriptionIdentifiers: [5] },
      { payload: 'after', qos: 1, subscriptionIdentifiers: [6] },
    ]);
  });

  // By what is on the wire: Mosquitto 2.0.11 takes no new No Local for a subscription that it has.
  it.each([
    { change: { qos: 1 }, sent: { qos: 1 } },
    { change: { noLocal: true }, sent: { nl: true } },
    { change: { retainAsPublished: true }, sent: { rap: true } },
    { change: { retainHandling: 1 }, sent: { rh: 1 } },
    { change: { retainHandling: 2 }, sent: { rh: 2 } },
    { change: { subscriptionIdentifier: 9 }, sent: {}, properties: { subscriptionIdentifier: 9 } },
  ])('in a document, one alone: $change', async ({ change, sent, properties }) => {
    const scripted = await startScriptedBroker();
    const local = await createTestBridge({ url: scripted.url });
    try {
      const declare = (options: object) =>
        local.declareConnection('a', valid({ clientId: 'a', subscriptions: [{ filter: 'x', ...options }] }));
      const answer = async () => {
        const packet = await connection.next('subscribe');
        connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [0] });
        return packet;
      };
      const opening = declare({});
      const connection = await scripted.nextConnection();
      await connection.accept();
      const plain = { topic: 'x', qos: 0, nl: false, rap: false, rh: 0 };
      expect((await answer()).subscriptions).toEqual([plain]);
      await opening;
      // Defaults that are written out are the same options.
      await declare({ qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 });
      const changing = declare(change);
      const packet = await answer();
      expect(packet.subscriptions).toEqual([{ ...plain, ...sent }]);
      expect(packet.properties).toEqual(properties);
      await changing;
      expect(connection.received.filter(({ cmd }) => cmd === 'subscribe')).toHaveLength(2);
    } finally {
      await local.end();
      await scripted.stop();
    }
  });
});

describe('Subscription Identifier', () => {
  it.each([1, 127, 128, 16_383, 16_384, 2_097_152, 268_435_455])('%i comes back', async (subscriptionIdentifier) => {
    const { id, subscribe, messagesUpTo } = await connect();
    await subscribe({ filter: `${id}/#`, qos: 1, subscriptionIdentifier });
    await outsider('-t', `${id}/x`, '-q', '1', '-m', 'x');
    const [message] = await messagesUpTo('x');
    expect(message?.subscriptionIdentifiers).toEqual([subscriptionIdentifier]);
  });

  it('tells which of several subscriptions matched, each with an identifier of its own, or none', async () => {
    const { id, subscribe, messagesUpTo } = await connect();
    await subscribe([
      { filter: `${id}/a`, qos: 1, subscriptionIdentifier: 1 },
      { filter: `${id}/b`, qos: 1, subscriptionIdentifier: 2 },
      { filter: `${id}/c`, qos: 1 },
    ]);
    for (const level of ['a', 'b', 'c']) await outsider('-t', `${id}/${level}`, '-q', '1', '-m', level);
    const messages = await messagesUpTo('c');
    expect(messages.map((message) => [message.payload, message.subscriptionIdentifiers])).toEqual([
      ['a', [1]],
      ['b', [2]],
      ['c', undefined],
    ]);
  });

  it('of all overlapping subscriptions are in the messages that they matched', async () => {
    const { id, subscribe, messagesUpTo } = await connect();
    await subscribe([
      { filter: `${id}/#`, qos: 1, subscriptionIdentifier: 10 },
      { filter: `${id}/+`, qos: 1, subscriptionIdentifier: 11 },
      { filter: `${id}/end`, qos: 1, subscriptionIdentifier: 12 },
    ]);
    await outsider('-t', `${id}/x`, '-q', '1', '-m', 'x');
    await outsider('-t', `${id}/end`, '-q', '1', '-m', 'end');
    // Whether a broker sends one message with all identifiers, or one for each subscription, is its choice [MQTT-3.3.4-2].
    await messagesUpTo('end');
    const identifiersOf = (all: readonly Message[], payload: string) =>
      all
        .filter((message) => message.payload === payload)
        .flatMap(({ subscriptionIdentifiers = [] }) => subscriptionIdentifiers)
        .sort();
    const messages = await until(
      async () => {
        const all = await messagesUpTo('end');
        return identifiersOf(all, 'end').length === 3 ? all : null;
      },
      { what: 'all identifiers' },
    );
    expect(identifiersOf(messages, 'x')).toEqual([10, 11]);
    expect(identifiersOf(messages, 'end')).toEqual([10, 11, 12]);
  });
});

describe.each(['5.0', '3.1.1'])('a shared subscription on %s', (protocolVersion) => {
  it('splits the messages between its Connections: each goes to one', async () => {
    const members = [await connect({ protocolVersion }), await connect({ protocolVersion })];
    const topic = `shared/${protocolVersion}`;
    for (const { subscribe } of members) {
      const { json } = await subscribe({ filter: `$share/group/${topic}`, qos: 1 });
      expect(json.results).toMatchObject([{ filter: `$share/group/${topic}`, granted: { qos: 1 } }]);
    }
    const sent = Array.from({ length: 40 }, (_, index) => `${index}`);
    await mosquittoPub(broker, ['-t', topic, '-q', '1', '-l'], { stdin: `${sent.join('\n')}\n` });
    const queues = await until(
      async () => {
        const all = await Promise.all(members.map(({ messages }) => messages()));
        return all.flat().length >= sent.length ? all : null;
      },
      { what: 'all messages' },
    );
    expect(payloads(queues.flat()).sort((a, b) => Number(a) - Number(b))).toEqual(sent);
    for (const queue of queues) expect(queue.length).toBeGreaterThan(0);
  });
});

describe('what the broker refuses', () => {
  it('is told per filter, and not kept; the others are subscribed', async () => {
    const { id, subscribe, messagesUpTo } = await connect();
    const answer = await subscribe([
      { filter: `${id}/a`, qos: 2 },
      { filter: 'secret/#', qos: 1 },
      { filter: `${id}/b`, qos: 1 },
    ]);
    expect(answer.status).toBe(200);
    expect(answer.json.results.map(({ granted }) => granted)).toEqual([
      { qos: 2, reasonCode: 2, reason: 'Granted QoS 2' },
      { qos: null, reasonCode: 0x87, reason: 'Not authorized' },
      { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' },
    ]);
    const list = await bridge.request<{ subscriptions: { filter: string }[] }>(
      'GET',
      `/v1/connections/${id}/subscriptions`,
    );
    expect(list.json.subscriptions.map(({ filter }) => filter)).toEqual([`${id}/a`, `${id}/b`]);
    await outsider('-t', `${id}/b`, '-q', '1', '-m', 'b');
    expect(payloads(await messagesUpTo('b'))).toEqual(['b']);
  });

  it('is 422 with the reason code when it is the only one', async () => {
    const { subscribe } = await connect();
    const answer = await subscribe({ filter: 'secret/#' });
    expect(answer.status).toBe(422);
    expect(answer.json).toMatchObject({
      type: '/problems/broker-refused',
      reasonCode: 0x87,
      reason: 'Not authorized',
    });
  });

  // On 3.1, which knows no refusal, Mosquitto says that it has granted QoS 0.
  it('is 0x80 on 3.1.1, which knows no other', async () => {
    const { id, subscribe } = await connect({ protocolVersion: '3.1.1' });
    const { json } = await subscribe([{ filter: 'secret/#' }, { filter: id }]);
    expect(json.results.map(({ granted }) => granted.reasonCode)).toEqual([0x80, 0]);
    expect(json.results[0]?.granted).toMatchObject({ qos: null, reason: 'Failure' });
  });

  it('stays in a document that names it, with its reason', async () => {
    const id = 'documented';
    const { json } = await bridge.request('PUT', `/v1/connections/${id}`, {
      json: { subscriptions: [{ filter: 'secret/#' }, { filter: id }] },
    });
    expect(json).toMatchObject({
      state: 'online',
      subscriptions: [
        { filter: 'secret/#', granted: { qos: null, reasonCode: 0x87 } },
        { filter: id, granted: { qos: 0, reasonCode: 0 } },
      ],
    });
  });
});

it('a subscription of a detached Connection waits for the next attach', async () => {
  const { id, subscribe, messagesUpTo } = await connect({ sessionExpiryInterval: 300 });
  const path = `/v1/connections/${id}`;
  await bridge.request('POST', `${path}/detach`, { json: {} });
  const waiting = await subscribe({ filter: `${id}/in`, qos: 1 });
  expect(waiting.status).toBe(202);
  expect(waiting.json).toMatchObject({ applied: false, results: [{ filter: `${id}/in`, granted: null }] });
  await bridge.request('POST', `${path}/attach`, { json: {} });
  await outsider('-t', `${id}/in`, '-q', '1', '-m', 'x');
  expect(payloads(await messagesUpTo('x'))).toEqual(['x']);
  // The reverse: it is ended at the next attach, and the broker keeps nothing for it then.
  await bridge.request('POST', `${path}/detach`, { json: {} });
  expect((await bridge.request('DELETE', `${path}/subscriptions?filter=${id}/in`)).status).toBe(204);
  await bridge.request('POST', `${path}/attach`, { json: {} });
  expect(broker.log()).toContain(`Received UNSUBSCRIBE from ${id}\n`);
});
