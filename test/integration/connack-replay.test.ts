import type { IConnackPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutgoingMessage } from '../../src/mqtt/message.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { failureOf } from '../helpers/outcome.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

/** What a broker can answer to CONNECT and say at the end, from the tables of the specifications. */

interface Code {
  readonly code: number;
  readonly name: string;
}

const codes = (table: Readonly<Record<number, string>>): Code[] =>
  Object.entries(table).map(([code, name]) => ({ code: Number(code), name }));

/** Reasons that time will not mend. [MQTT 5.0 §3.2.2.2, table 3-1] */
const REFUSED = codes({
  128: 'Unspecified error',
  129: 'Malformed Packet',
  130: 'Protocol Error',
  131: 'Implementation specific error',
  132: 'Unsupported Protocol Version',
  133: 'Client Identifier not valid',
  134: 'Bad User Name or Password',
  135: 'Not authorized',
  138: 'Banned',
  140: 'Bad authentication method',
  144: 'Topic Name invalid',
  149: 'Packet too large',
  153: 'Payload format invalid',
  154: 'Retain not supported',
  155: 'QoS not supported',
  156: 'Use another server',
  157: 'Server moved',
});
const TRANSIENT = codes({
  136: 'Server unavailable',
  137: 'Server busy',
  151: 'Quota exceeded',
  159: 'Connection rate exceeded',
});

/** [MQTT 3.1.1 §3.2.2.3, table 3.1; MQTT 3.1 §3.2] */
const REFUSED_3 = codes({
  1: 'Connection Refused, unacceptable protocol version',
  2: 'Connection Refused, identifier rejected',
  4: 'Connection Refused, bad user name or password',
  5: 'Connection Refused, not authorized',
});
const TRANSIENT_3 = codes({ 3: 'Connection Refused, Server unavailable' });

/** Those that a server sends. [MQTT 5.0 §3.14.2.1, table 3-10] */
const DISCONNECTS = codes({
  0: 'Normal disconnection',
  128: 'Unspecified error',
  129: 'Malformed Packet',
  130: 'Protocol Error',
  131: 'Implementation specific error',
  135: 'Not authorized',
  137: 'Server busy',
  139: 'Server shutting down',
  141: 'Keep Alive timeout',
  143: 'Topic Filter invalid',
  144: 'Topic Name invalid',
  147: 'Receive Maximum exceeded',
  148: 'Topic Alias invalid',
  149: 'Packet too large',
  150: 'Message rate too high',
  151: 'Quota exceeded',
  152: 'Administrative action',
  153: 'Payload format invalid',
  154: 'Retain not supported',
  155: 'QoS not supported',
  156: 'Use another server',
  157: 'Server moved',
  158: 'Shared Subscriptions not supported',
  159: 'Connection rate exceeded',
  160: 'Maximum connect time',
  161: 'Subscription Identifiers not supported',
  162: 'Wildcard Subscriptions not supported',
});
const TAKEN_OVER = 0x8e;

const SESSION = { sessionExpiryInterval: 600 };
const MAX_32 = 0xffff_ffff;
const longest = 'x'.repeat(65_535);

type Connack = Partial<Omit<IConnackPacket, 'cmd'>>;

let bridge: TestBridge;
/** Tests run side by side, each with a broker and a Connection of its own. */
const brokers: ScriptedBroker[] = [];

beforeAll(async () => {
  bridge = await createTestBridge({ url: 'mqtt://127.0.0.1:1' });
});

afterAll(async () => {
  await bridge?.end();
  await Promise.all(brokers.map((broker) => broker.stop()));
});

interface Stage {
  readonly id: string;
  readonly broker: ScriptedBroker;
  readonly document: object;
  view(): ReturnType<TestBridge['getConnection']>;
  untilState(state: string): Promise<unknown>;
  /** Declares the Connection, and answers its CONNECT. */
  declare(connack?: Connack): Promise<ScriptedConnection>;
}

async function setStage(more: object = SESSION): Promise<Stage> {
  const broker = await startScriptedBroker();
  const id = `replay${brokers.push(broker)}`;
  const document = { id, url: broker.url, ...more };
  const view = () => bridge.getConnection(id);
  return {
    id,
    broker,
    document,
    view,
    untilState: (state) => until(async () => (await view()).state === state, { what: `${id} is ${state}` }),
    async declare(connack = {}) {
      const opening = bridge.declareConnection(id, valid(document));
      const connection = await broker.nextConnection();
      await connection.accept(connack);
      await opening;
      return connection;
    },
  };
}

/** Declares it, and answers CONNECT with a refusal; answers the view that PUT does. */
async function refuse({ id, broker, document }: Stage, connack: Connack) {
  const opening = bridge.declareConnection(id, valid(document));
  await (await broker.nextConnection()).accept(connack);
  return (await opening).connection;
}

/** Each code by itself, and with a Reason String: what is said stands for the name. */
const inBothWords = (table: readonly Code[], state: string) =>
  table.flatMap((row) => [
    { ...row, state, reasonString: undefined, reason: row.name },
    { ...row, state, reasonString: 'because of "ü"', reason: 'because of "ü"' },
  ]);

describe.concurrent('a CONNACK of 5.0 that refuses', () => {
  it.each([...inBothWords(REFUSED, 'refused'), ...inBothWords(TRANSIENT, 'offline')])(
    '$code, $reason: POST is 422, and PUT is $state',
    async ({ code, state, reasonString, reason }) => {
      const connack = { reasonCode: code, ...(reasonString === undefined ? {} : { properties: { reasonString } }) };
      const { id, broker, document, ...stage } = await setStage();
      const opening = failureOf(bridge.openConnection(valid(document)));
      await (await broker.nextConnection()).accept(connack);
      expect(JSON.parse(JSON.stringify((await opening).error))).toEqual({
        type: '/problems/broker-refused',
        title: expect.any(String),
        status: 422,
        detail: expect.stringContaining(reason),
        reasonCode: code,
        reason,
        connack: {
          sessionPresent: false,
          reasonCode: code,
          reason,
          properties: reasonString === undefined ? {} : { reasonString },
        },
      });
      await expect(stage.view()).rejects.toMatchObject({ type: 'connection-not-found' });

      const seen = await refuse({ id, broker, document, ...stage }, connack);
      expect(seen.state).toBe(state);
      expect(seen.reason).toEqual({
        code: 'broker-refused',
        detail: expect.stringContaining(reason),
        reasonCode: code,
        reason,
      });
      await bridge.deleteConnection(id, { session: 'keep', will: null });
    },
  );

  it('comes back whole: in the problem of POST, and in what GET shows after PUT', async () => {
    const stage = await setStage();
    const properties = {
      reasonString: 'go there',
      serverReference: 'other.example.com:1883',
      userProperties: { a: ['1', '2'], b: ['3'] },
      serverKeepAlive: 7,
    };
    const connack = { reasonCode: 0x9d, properties };
    const whole = { sessionPresent: false, reasonCode: 0x9d, reason: 'go there', properties };
    const opening = failureOf(bridge.openConnection(valid(stage.document)));
    await (await stage.broker.nextConnection()).accept(connack);
    expect((await opening).error).toMatchObject({ details: { connack: whole } });
    expect(await refuse(stage, connack)).toMatchObject({ state: 'refused', connack: whole });
    expect((await stage.view()).connack).toEqual(whole);
  });

  it('is tried again where time may mend it, and only there', async () => {
    const refuseAll = (table: readonly Code[]) =>
      Promise.all(
        table.map(async ({ code }) => {
          const stage = await setStage();
          await refuse(stage, { reasonCode: code });
          return stage;
        }),
      );
    const refused = await refuseAll(REFUSED);
    for (const { broker, untilState } of await refuseAll(TRANSIENT)) {
      await (await broker.nextConnection()).accept({ reasonCode: 0x89 });
      await (await broker.nextConnection()).accept();
      await untilState('online');
    }
    expect(refused.map(({ broker }) => broker.connections.length)).toEqual(refused.map(() => 1));
  });
});

describe.concurrent.each(['3.1.1', '3.1'])('a CONNACK of %s that refuses', (protocolVersion) => {
  it.each([
    ...REFUSED_3.map((row) => ({ ...row, state: 'refused' })),
    ...TRANSIENT_3.map((row) => ({ ...row, state: 'offline' })),
  ])('$code, $name: POST is 422, and PUT is $state', async ({ code, name, state }) => {
    const stage = await setStage({ protocolVersion, cleanSession: false });
    const opening = failureOf(bridge.openConnection(valid(stage.document)));
    await (await stage.broker.nextConnection()).accept({ returnCode: code });
    expect((await opening).error).toMatchObject({
      type: 'broker-refused',
      status: 422,
      details: { reasonCode: code, reason: name },
    });
    const seen = await refuse(stage, { returnCode: code });
    expect(seen).toMatchObject({ state, reason: { code: 'broker-refused', reasonCode: code, reason: name } });
    const attached = state === 'refused' ? bridge.attachConnection(stage.id) : stage.untilState('online');
    await (await stage.broker.nextConnection()).accept();
    await attached;
    expect(await stage.view()).toMatchObject({ state: 'online', reason: null, connack: { reasonCode: 0 } });
  });
});

describe.concurrent('a DISCONNECT of 5.0', () => {
  it.each(inBothWords(DISCONNECTS, 'offline'))(
    '$code, $reason: offline, and attached again',
    async ({ code, reasonString, reason }) => {
      const { broker, declare, view, untilState } = await setStage();
      const connection = await declare();
      const properties = reasonString === undefined ? {} : { reasonString };
      connection.send({ cmd: 'disconnect', reasonCode: code, properties });
      connection.drop();
      await untilState('offline');
      expect((await view()).reason).toEqual({
        code: 'broker-unreachable',
        detail: expect.any(String),
        reasonCode: code,
        reason,
      });
      const again = await broker.nextConnection();
      expect(await again.accept({ sessionPresent: true })).toMatchObject({ clean: false });
      await untilState('online');
      expect(await view()).toMatchObject({ reason: null, generation: 1 });
    },
  );

  it('comes back whole, in the reason of the state', async () => {
    const { declare, view, untilState } = await setStage();
    const connection = await declare();
    connection.send({
      cmd: 'disconnect',
      reasonCode: 0x9c,
      properties: { serverReference: 'other.example.com', userProperties: { a: ['1', '2'], b: '3' } },
    });
    connection.drop();
    await untilState('offline');
    expect((await view()).reason).toEqual({
      code: 'broker-unreachable',
      detail: expect.any(String),
      reasonCode: 0x9c,
      reason: 'Use another server',
      serverReference: 'other.example.com',
      userProperties: { a: ['1', '2'], b: ['3'] },
    });
  });

  it.each([undefined, 'another client'])(
    '142 Session taken over, Reason String %s: it yields',
    async (reasonString) => {
      const { broker, declare, view, untilState } = await setStage();
      const connection = await declare();
      const properties = reasonString === undefined ? {} : { reasonString };
      connection.send({ cmd: 'disconnect', reasonCode: TAKEN_OVER, properties });
      connection.drop();
      await untilState('takenOver');
      const reason = reasonString ?? 'Session taken over';
      expect((await view()).reason).toMatchObject({ code: 'taken-over', reasonCode: TAKEN_OVER, reason });
      // One that is only offline comes back meanwhile.
      const other = await setStage();
      (await other.declare()).drop();
      await (await other.broker.nextConnection()).accept();
      await other.untilState('online');
      expect(broker.connections).toHaveLength(1);
    },
  );
});

describe.concurrent('what CONNACK says of the server', () => {
  const flags = ['retainAvailable', 'wildcardSubscriptionAvailable', 'sharedSubscriptionAvailable'];
  const rows: [string, readonly unknown[]][] = [
    ['sessionExpiryInterval', [0, 60, MAX_32]],
    ['receiveMaximum', [1, 20, 65_535]],
    ['maximumQoS', [0, 1]],
    ['maximumPacketSize', [1, 1_000, MAX_32]],
    ['assignedClientIdentifier', ['given', 'ü']],
    ['topicAliasMaximum', [0, 10, 65_535]],
    ['reasonString', ['', 'welcome', longest]],
    ['serverKeepAlive', [0, 30, 65_535]],
    ['responseInformation', ['', 'replies/a/']],
    ['serverReference', ['', 'other.example.com:1883 [::1]:1884']],
    ['userProperties', [{ a: ['x'] }, { b: ['2', '1', '2'], a: ['x'], '': [''] }]],
    ...[...flags, 'subscriptionIdentifiersAvailable'].map((name): [string, unknown[]] => [name, [false, true]]),
  ];

  it.each(rows.flatMap(([name, values]) => values.map((value) => ({ name, value }))))(
    '$name $value is told as it was said, and nothing besides',
    async ({ name, value }) => {
      const { declare, view } = await setStage();
      await declare({ properties: { [name]: value } });
      const reason = name === 'reasonString' ? value : 'Success';
      expect((await view()).connack).toEqual({
        sessionPresent: false,
        reasonCode: 0,
        reason,
        properties: { [name]: value },
      });
    },
  );

  it('all of it at once', async () => {
    const { declare, view } = await setStage();
    const properties = Object.fromEntries(rows.map(([name, values]) => [name, values.at(-1)]));
    await declare({ sessionPresent: false, properties });
    expect((await view()).connack).toEqual({ sessionPresent: false, reasonCode: 0, reason: longest, properties });
  });

  it('nothing, where it said nothing', async () => {
    const { declare, view } = await setStage();
    await declare();
    expect((await view()).connack).toEqual({ sessionPresent: false, reasonCode: 0, reason: 'Success', properties: {} });
  });

  it.each(['3.1.1', '3.1'])('on %s, a return code and no properties', async (protocolVersion) => {
    const { declare, view } = await setStage({ protocolVersion });
    await declare();
    expect((await view()).connack).toEqual({
      sessionPresent: false,
      reasonCode: 0,
      reason: 'Connection Accepted',
      properties: {},
    });
  });
});

describe.concurrent('a CONNACK that cannot be', () => {
  it.each([
    ['Session Present after Clean Start', {}, { sessionPresent: true }],
    ['Session Present after Clean Session', { protocolVersion: '3.1.1' }, { sessionPresent: true }],
    ['a Receive Maximum of 0', {}, { properties: { receiveMaximum: 0 } }],
  ])('%s: the connection is closed', async (_, document, connack) => {
    const stage = await setStage(document);
    const opening = failureOf(bridge.openConnection(valid(stage.document)));
    const connection = await stage.broker.nextConnection();
    await connection.accept(connack);
    expect((await opening).error).toMatchObject({ type: 'broker-unreachable' });
    await connection.closed;
    await expect(stage.view()).rejects.toMatchObject({ type: 'connection-not-found' });
  });
});

describe.concurrent('what CONNACK asks for is done', () => {
  const publish = async (id: string, outgoing: OutgoingMessage) =>
    (await bridge.publish(id, [{ message: outgoing, timeoutMs: 5_000 }]))[0];

  /** Resolves when what was written before has arrived, for what was not written would have been before it. */
  async function passBarrier(id: string, connection: ScriptedConnection): Promise<void> {
    const filter = `barrier/${connection.received.length}`;
    const subscribing = bridge.addSubscriptions(id, [{ filter, qos: 0 }]);
    const { messageId = 0 } = await connection.next('subscribe');
    connection.send({ cmd: 'suback', messageId, granted: [0] });
    await subscribing;
  }
  const published = ({ received }: ScriptedConnection) => received.filter(({ cmd }) => cmd === 'publish');

  it.each([1, 2, 20])('Receive Maximum %i: no more is in flight', async (receiveMaximum) => {
    const { id, declare } = await setStage();
    const connection = await declare({ properties: { receiveMaximum } });
    const outcomes = Array.from({ length: receiveMaximum + 2 }, (_, index) =>
      publish(id, message('t', `${index}`, index % 2 === 0 ? 1 : 2)),
    );
    await until(() => published(connection).length === receiveMaximum, { what: 'the window is full' });
    await passBarrier(id, connection);
    expect(published(connection)).toHaveLength(receiveMaximum);
    for (const _outcome of outcomes) {
      const { messageId = 0, qos } = await connection.next('publish');
      expect(published(connection).length - receiveMaximum).toBeLessThanOrEqual(outcomes.indexOf(_outcome));
      if (qos === 1) connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
      else {
        connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
        await connection.next('pubrel');
        connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
      }
    }
    expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => expect.objectContaining({ reasonCode: 0 })));
  });

  const exact = message('t', 'x'.repeat(100), 1);
  /** Fixed header 2, topic 3, packet identifier 2, properties 1. [MQTT 5.0 §3.3] */
  const exactSize = 2 + 3 + 2 + 1 + 100;

  it.each([
    {
      what: 'Maximum QoS 0',
      properties: { maximumQoS: 0 },
      bad: message('t', 'x', 1),
      good: message('t', 'x', 0),
      code: 0x9b,
    },
    {
      what: 'Maximum QoS 0',
      properties: { maximumQoS: 0 },
      bad: message('t', 'x', 2),
      good: message('t', 'x', 0),
      code: 0x9b,
    },
    {
      what: 'Maximum QoS 1',
      properties: { maximumQoS: 1 },
      bad: message('t', 'x', 2),
      good: message('t', 'x', 1),
      code: 0x9b,
    },
    {
      what: 'Retain Available 0',
      properties: { retainAvailable: false },
      bad: { ...message('t', 'x', 1), retain: true },
      good: message('t', 'x', 1),
      code: 0x9a,
    },
    {
      what: 'Maximum Packet Size',
      properties: { maximumPacketSize: exactSize },
      bad: { ...exact, payload: Buffer.alloc(101) },
      good: exact,
      code: 0x95,
    },
  ])(
    '$what: a publish that it forbids is a 422 (QoS $bad.qos), and is not sent',
    async ({ properties, bad, good, code }) => {
      const { id, declare, view } = await setStage();
      const connection = await declare({ properties: properties as Connack['properties'] & object });
      expect(await publish(id, bad)).toMatchObject({
        type: 'broker-refused',
        status: 422,
        details: { reasonCode: code },
      });
      await passBarrier(id, connection);
      expect(published(connection)).toEqual([]);
      const outcome = publish(id, good);
      const packet = await connection.next('publish');
      expect(packet).toMatchObject({ qos: good.qos, retain: false });
      if (good.qos === 1) connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 });
      expect(await outcome).toMatchObject({ reasonCode: 0 });
      expect((await view()).state).toBe('online');
    },
  );

  it('Server Keep Alive wins over Keep Alive: PINGREQ at its interval, none before', async () => {
    const pinged = await setStage({ ...SESSION, keepAlive: 60 });
    const silent = await setStage({ ...SESSION, keepAlive: 1 });
    const plain = await setStage({ ...SESSION, keepAlive: 1 });
    const silentConnection = await silent.declare({ properties: { serverKeepAlive: 60 } });
    const connections = [await pinged.declare({ properties: { serverKeepAlive: 1 } }), await plain.declare()];
    await Promise.all(
      connections.map(async (connection) => {
        for (let pings = 0; pings < 2; pings += 1) {
          await connection.next('pingreq');
          connection.send({ cmd: 'pingresp' });
        }
      }),
    );
    expect(silentConnection.received.map(({ cmd }) => cmd)).toEqual(['connect']);
  });

  it('a PINGREQ that is not answered ends the connection within 1.5 × Keep Alive, and another is made', async () => {
    const { broker, declare, view, untilState } = await setStage();
    const connection = await declare({ properties: { serverKeepAlive: 2 } });
    const start = performance.now();
    await connection.next('pingreq');
    await connection.closed;
    expect(performance.now() - start).toBeLessThan(2 * 1_500 + 500);
    await (await broker.nextConnection()).accept({ sessionPresent: true });
    await untilState('online');
    expect(await view()).toMatchObject({ generation: 1 });
  });

  it('Server Reference is told, and not followed', async () => {
    const elsewhere = await startScriptedBroker();
    brokers.push(elsewhere);
    const stage = await setStage();
    const serverReference = `127.0.0.1:${elsewhere.port}`;
    const connection = await stage.declare({ properties: { serverReference } });
    connection.send({ cmd: 'disconnect', reasonCode: 0x9c, properties: { serverReference } });
    connection.drop();
    await (await stage.broker.nextConnection()).accept({ properties: { serverReference } });
    await stage.untilState('online');
    expect((await stage.view()).connack?.properties).toEqual({ serverReference });
    expect(elsewhere.connections).toEqual([]);
  });
});
