import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { failureOf } from '../helpers/outcome.ts';
import { type ScriptedBroker, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

/** A string with its length. [MQTT 5.0 §1.5.4] */
const text = (value: string) => [0, value.length, ...Buffer.from(value)];
const packet = (first: number, ...rest: number[]) => Buffer.from([first, rest.length, ...rest]);
const connack = (...properties: number[]) => packet(0x20, 0, 0, properties.length, ...properties);
const disconnect = (code: number, ...properties: number[]) => packet(0xe0, code, properties.length, ...properties);
const publish = (...properties: number[]) => packet(0x30, ...text('t'), properties.length, ...properties);

const ID = { serverReference: 0x1c, assigned: 0x12, reasonString: 0x1f, receiveMaximum: 0x21, keepAlive: 0x13 };

describe('a broker that does not keep to the rules costs its connection, and nothing else', () => {
  let broker: ScriptedBroker;
  let bridge: TestBridge;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    bridge = await createTestBridge({ url: broker.url });
  });
  afterEach(async () => {
    await broker.stop();
    await bridge.end();
  });

  it.each([
    ['a repeated Server Reference', connack(ID.serverReference, ...text('a'), ID.serverReference, ...text('b'))],
    ['a repeated Assigned Client Identifier', connack(ID.assigned, ...text('a'), ID.assigned, ...text('b'))],
    ['a repeated Reason String', connack(ID.reasonString, ...text('a'), ID.reasonString, ...text('b'))],
    ['a repeated Receive Maximum', connack(ID.receiveMaximum, 0, 1, ID.receiveMaximum, 0, 2)],
    ['a repeated Server Keep Alive', connack(ID.keepAlive, 0, 1, ID.keepAlive, 0, 2)],
    ['a Receive Maximum of 0', connack(ID.receiveMaximum, 0, 0)],
    ['a Maximum Packet Size of 0', connack(0x27, 0, 0, 0, 0)],
    ['a Maximum QoS of 2', connack(0x24, 2)],
    ['a property of another packet', connack(0x03, ...text('text/plain'))],
    ['no reason code', packet(0x20, 0)],
    ['a repeated Reason String, and a refusal', packet(0x20, 0, 0x87, 8, 0x1f, ...text('a'), 0x1f, ...text('b'))],
  ])('CONNACK with %s', async (_, bytes) => {
    const opening = failureOf(bridge.openConnection(valid({ sessionExpiryInterval: 60 })));
    const connection = await broker.nextConnection();
    await connection.next('connect');
    connection.sendRaw(bytes);
    await connection.closed;
    expect((await opening).error).toMatchObject({ type: 'broker-unreachable' });
  });

  it.each([
    ['DISCONNECT with two Server References', disconnect(0x9d, 0x1c, ...text('a.b'), 0x1c, ...text('c.d'))],
    ['DISCONNECT with a Session Expiry Interval', disconnect(0, 0x11, 0, 0, 0, 1)],
    ['PUBLISH with two Content Types', publish(0x03, ...text('a'), 0x03, ...text('b'))],
    ['PUBLISH with a Topic Alias that was not offered', publish(0x23, 0, 1)],
    ['PUBLISH with a Subscription Identifier of 0', publish(0x0b, 0)],
    ['PUBACK with a Content Type', packet(0x40, 0, 9, 0, 4, 0x03, ...text('a'))],
    ['PUBACK of 300,000 bytes', Buffer.from([0x40, 0xe0, 0xa7, 0x12])],
  ])('%s: it comes back', async (_, bytes) => {
    const opening = bridge.declareConnection('a', valid({ id: 'a', sessionExpiryInterval: 60 }));
    const connection = await broker.nextConnection();
    await connection.accept();
    await opening;
    connection.sendRaw(bytes);
    await connection.closed;
    await (await broker.nextConnection()).accept({ sessionPresent: true });
    await until(async () => (await bridge.getConnection('a')).state === 'online', { what: 'online' });
    expect(await bridge.getConnection('a')).toMatchObject({ reason: null, queue: { depth: 0 } });
  });

  it('a port that speaks HTTP is told from a broker', async () => {
    const opening = failureOf(bridge.openConnection(valid({ id: 'a' })));
    const connection = await broker.nextConnection();
    await connection.next('connect');
    connection.sendRaw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
    expect((await opening).error).toMatchObject({ message: expect.stringMatching(/HTTP response.*ws/) });
  });
});
