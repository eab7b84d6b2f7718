import type { IConnackPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

let broker: ScriptedBroker;
let bridge: TestBridge;

beforeEach(async () => {
  broker = await startScriptedBroker();
  bridge = await createTestBridge({ url: broker.url });
});

afterEach(async () => {
  await bridge?.end();
  await broker?.stop();
});

type Properties = NonNullable<IConnackPacket['properties']>;

const SESSION = { clientId: 'a', sessionExpiryInterval: 600 };

/** Answers every SUBSCRIBE and UNSUBSCRIBE with success, until the client closes. */
async function serve(connection: ScriptedConnection): Promise<void> {
  const subscribes = async () => {
    for (;;) {
      const { messageId = 0, subscriptions } = await connection.next('subscribe', () => true, 60_000);
      connection.send({ cmd: 'suback', messageId, granted: subscriptions.map(({ qos }) => qos) });
    }
  };
  const unsubscribes = async () => {
    for (;;) {
      const { messageId = 0, unsubscriptions } = await connection.next('unsubscribe', () => true, 60_000);
      connection.send({ cmd: 'unsuback', messageId, granted: unsubscriptions.map(() => 0) });
    }
  };
  await Promise.race([subscribes(), unsubscribes(), connection.closed]).catch(() => undefined);
}

async function accept(properties: Properties, sessionPresent = false): Promise<ScriptedConnection> {
  const connection = await broker.nextConnection();
  await connection.accept({ properties, sessionPresent });
  void serve(connection);
  return connection;
}

async function declare(document: object, properties: Properties) {
  const opening = bridge.declareConnection('a', valid(document));
  const connection = await accept(properties);
  return { connection, seen: (await opening).connection };
}

/** Every filter that was asked for, in its order. */
function filtersIn({ received }: ScriptedConnection): string[] {
  return received.flatMap((packet) =>
    packet.cmd === 'subscribe' ? packet.subscriptions.map(({ topic }) => topic) : [],
  );
}

const ended = ({ received }: ScriptedConnection) => received.filter(({ cmd }) => cmd === 'unsubscribe');

const rows = [
  {
    property: 'wildcardSubscriptionAvailable',
    refused: [{ filter: 'a/+' }, { filter: '#' }, { filter: '$share/g/b/#' }],
    reasonCode: 0xa2,
    reason: 'Wildcard Subscriptions not supported',
  },
  {
    property: 'subscriptionIdentifiersAvailable',
    refused: [{ filter: 'c', subscriptionIdentifier: 7 }],
    reasonCode: 0xa1,
    reason: 'Subscription Identifiers not supported',
  },
  {
    property: 'sharedSubscriptionAvailable',
    refused: [{ filter: '$share/g/d' }, { filter: '$share/g/+' }],
    reasonCode: 0x9e,
    reason: 'Shared Subscriptions not supported',
  },
] as const;

describe.each(rows)('$property 0', ({ property, refused, reasonCode, reason }) => {
  const properties = { [property]: false };
  const granted = { qos: null, reasonCode, reason };
  const [one = { filter: 'unreachable' }] = refused;

  it('the filters of the document that need it are answered as the broker would, and not sent; the others are', async () => {
    const others = [
      { filter: 'x', qos: 1 },
      { filter: 'y', qos: 2 },
    ];
    const subscriptions = [others[0], ...refused, others[1]];
    const { connection, seen } = await declare({ ...SESSION, subscriptions }, properties);
    expect(seen).toMatchObject({ state: 'online', connack: { properties } });
    expect(seen.subscriptions).toEqual([
      { filter: 'x', qos: 1, granted: { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' } },
      ...refused.map((request) => ({ qos: 0, ...request, granted })),
      { filter: 'y', qos: 2, granted: { qos: 2, reasonCode: 2, reason: 'Granted QoS 2' } },
    ]);
    expect(filtersIn(connection)).toEqual(['x', 'y']);
    expect(broker.connections).toHaveLength(1);
  });

  it('so are those of a request to subscribe, and they are not kept', async () => {
    const { connection } = await declare(SESSION, properties);
    const requests = [{ filter: 'x', qos: 1 as const }, ...refused.map((request) => ({ qos: 0 as const, ...request }))];
    const answer = await bridge.addSubscriptions('a', requests);
    expect(answer.applied).toBe(true);
    expect(answer.results.map(({ filter, granted: told }) => [filter, told])).toEqual([
      ['x', { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' }],
      ...refused.map(({ filter }) => [filter, granted]),
    ]);
    expect(filtersIn(connection)).toEqual(['x']);
    // What was never asked for has no end either.
    expect(ended(connection)).toEqual([]);
    expect((await bridge.listSubscriptions('a')).map(({ filter }) => filter)).toEqual(['x']);
  });

  it('they are asked for at the next CONNACK that allows it', async () => {
    const { connection } = await declare({ ...SESSION, subscriptions: [{ filter: 'x', qos: 1 }, one] }, properties);
    connection.drop();
    const again = await accept({}, true);
    await until(() => filtersIn(again).length > 0, { what: 'a SUBSCRIBE' });
    expect(filtersIn(again)).toEqual([one.filter]);
    await expect
      .poll(async () => (await bridge.listSubscriptions('a')).map(({ granted: told }) => told?.reasonCode))
      .toEqual([1, 0]);
  });

  it('absent or 1, they are asked for', async () => {
    const { seen } = await declare({ clientId: 'a', subscriptions: [...refused] }, { [property]: true });
    expect(seen.subscriptions.map(({ granted: told }) => told?.qos)).toEqual(refused.map(() => 0));
  });
});

it('a subscription that is made again with what the broker does not have ends', async () => {
  const { connection } = await declare(
    { ...SESSION, subscriptions: [{ filter: 'x', qos: 1 }] },
    { subscriptionIdentifiersAvailable: false },
  );
  const { results } = await bridge.addSubscriptions('a', [{ filter: 'x', qos: 1, subscriptionIdentifier: 3 }]);
  expect(results).toMatchObject([{ filter: 'x', granted: { qos: null, reasonCode: 0xa1 } }]);
  expect(ended(connection)).toMatchObject([{ unsubscriptions: ['x'] }]);
  expect(await bridge.listSubscriptions('a')).toEqual([]);
});

describe('Maximum Packet Size', () => {
  /** Bytes of a SUBSCRIBE with that filter alone and no properties. */
  const bytesWith = (filter: string) => 2 + 2 + 1 + 2 + Buffer.byteLength(filter) + 1;

  it('no SUBSCRIBE is longer: filters are divided among packets, to the byte', async () => {
    const filters = ['aaaa', 'bbbb', 'cccc', 'dddd', 'ü'.repeat(10)];
    const maximumPacketSize = bytesWith('ü'.repeat(10));
    const subscriptions = filters.map((filter) => ({ filter, qos: 1 }));
    const { connection, seen } = await declare({ ...SESSION, subscriptions }, { maximumPacketSize });
    expect(seen.subscriptions.map(({ granted }) => granted?.qos)).toEqual([1, 1, 1, 1, 1]);
    const packets = connection.received.filter(({ cmd }) => cmd === 'subscribe');
    expect(packets.map(({ length = 0 }) => length + 2)).toEqual([26, 12, maximumPacketSize]);
    expect(filtersIn(connection)).toEqual(filters);
  });

  it('a filter that fits in no packet is answered with 0x95, the others are subscribed', async () => {
    const long = 'l'.repeat(30);
    const subscriptions = [{ filter: 'x' }, { filter: long }];
    const { connection, seen } = await declare(
      { clientId: 'a', subscriptions },
      { maximumPacketSize: bytesWith(long) - 1 },
    );
    expect(seen.subscriptions).toMatchObject([
      { filter: 'x', granted: { qos: 0 } },
      { filter: long, granted: { qos: null, reasonCode: 0x95, reason: 'Packet too large' } },
    ]);
    expect(filtersIn(connection)).toEqual(['x']);
  });
});

it('Maximum QoS 0 limits no subscription: any QoS may be asked for [MQTT-3.2.2-10]', async () => {
  const { connection } = await declare({ clientId: 'a', subscriptions: [{ filter: 'x', qos: 2 }] }, { maximumQoS: 0 });
  expect(filtersIn(connection)).toEqual(['x']);
});

it.each([
  { code: 0x9b, reason: 'QoS not supported', will: { topic: 'w', qos: 1 } },
  { code: 0x9a, reason: 'Retain not supported', will: { topic: 'w', retain: true } },
])('a Will that the broker does not take is refused by its CONNACK: $reason', async ({ code, reason, will }) => {
  const opening = bridge.openConnection(valid({ clientId: 'w', will })).catch((problem: unknown) => problem);
  const connection = await broker.nextConnection();
  await connection.accept({ reasonCode: code });
  expect(await opening).toMatchObject({ type: 'broker-refused', details: { reasonCode: code, reason } });
});

it('a read of retained messages with a wildcard that the broker does not have is refused, and not sent', async () => {
  const request = { filter: 'a/+', limit: 10, after: null, timeoutMs: 2_000 };
  const reading = bridge.retainedMessages('default', request).catch((problem: unknown) => problem);
  const connection = await accept({ wildcardSubscriptionAvailable: false });
  expect(await reading).toMatchObject({ type: 'broker-refused', details: { reasonCode: 0xa2 } });
  const one = await bridge.retainedMessages('default', { ...request, filter: 'a' });
  expect(one).toMatchObject({ messages: [], complete: true });
  expect(filtersIn(connection)).toEqual(['a']);
});
