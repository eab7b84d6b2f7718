import type { IPublishPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, read, type TestBridge, valid } from '../helpers/bridge.ts';
import { type GatedStore, openGatedStore } from '../helpers/gated-store.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';

const publish = (messageId: number, qos: 0 | 1 | 2, payload: string, dup = false): IPublishPacket => ({
  cmd: 'publish',
  topic: 'in/a',
  payload,
  qos,
  dup,
  retain: false,
  ...(qos === 0 ? {} : { messageId }),
});

describe('inbound: store, then acknowledge', () => {
  let broker: ScriptedBroker;
  let bridge: TestBridge;
  let gate: GatedStore;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    gate = await openGatedStore('append');
    bridge = await createTestBridge({ url: broker.url, store: gate.store });
  });
  afterEach(async () => {
    gate.open();
    await bridge.end();
    await broker.stop();
  });

  async function attach(connack = {}): Promise<ScriptedConnection> {
    const opening = bridge.declareConnection('a', valid({ id: 'a', sessionExpiryInterval: 600 }));
    const connection = await broker.nextConnection();
    await connection.accept(connack);
    await opening;
    return connection;
  }

  it.each([
    [1, 'puback'],
    [2, 'pubrec'],
  ] as const)('QoS %i: no %s before the commit', async (qos, ack) => {
    const connection = await attach();
    connection.send(publish(1, qos, 'x'));
    await expect.poll(() => gate.gates.length).toBe(1);
    expect(connection.received.map(({ cmd }) => cmd)).not.toContain(ack);
    gate.open();
    expect(await connection.next(ack)).toMatchObject({ messageId: 1 });
    expect((await read(bridge, 'a')).messages).toHaveLength(1);
  });

  it('what follows CONNACK in the same packet of the network is stored and acknowledged', async () => {
    const opening = bridge.declareConnection('a', valid({ id: 'a', sessionExpiryInterval: 600 }));
    const connection = await broker.nextConnection();
    await connection.next('connect');
    gate.open();
    connection.send({ cmd: 'connack', sessionPresent: true, reasonCode: 0 });
    connection.send(publish(7, 1, 'early'));
    expect(await connection.next('puback')).toMatchObject({ messageId: 7 });
    await opening;
    expect((await read(bridge, 'a')).messages[0]?.message.payload.toString()).toBe('early');
  });

  it('what arrives while a group is being stored is the next group, and is acknowledged in order', async () => {
    const connection = await attach();
    connection.send(publish(1, 1, '1'));
    await expect.poll(() => gate.gates.length).toBe(1);
    for (let id = 2; id <= 50; id += 1) connection.send(publish(id, 1, `${id}`));
    connection.send({ cmd: 'pingresp' });
    gate.gates[0]?.pass();
    await expect.poll(() => gate.gates.length).toBe(2);
    gate.open();
    for (let id = 1; id <= 50; id += 1) expect((await connection.next('puback')).messageId).toBe(id);
    expect(gate.gates).toHaveLength(0);
    const { messages } = await read(bridge, 'a');
    expect(messages.map(({ message }) => message.payload.toString())).toEqual(
      Array.from({ length: 50 }, (_, index) => `${index + 1}`),
    );
  });

  it('a commit that fails is not acknowledged: the connection is closed, and what comes again is stored', async () => {
    const connection = await attach();
    connection.send(publish(1, 1, 'x'));
    await expect.poll(() => gate.gates.length).toBe(1);
    gate.gates.shift()?.fail();
    await connection.closed;
    expect(connection.received.map(({ cmd }) => cmd)).not.toContain('puback');
    const again = await broker.nextConnection();
    await again.accept({ sessionPresent: true });
    gate.open();
    again.send(publish(1, 1, 'x', true));
    expect(await again.next('puback')).toMatchObject({ messageId: 1 });
    expect((await read(bridge, 'a')).messages).toHaveLength(1);
  });

  it('QoS 2: a repeated PUBLISH is acknowledged and stored once; after PUBCOMP the identifier is free', async () => {
    gate.open();
    const connection = await attach();
    connection.send(publish(5, 2, 'once'));
    await connection.next('pubrec');
    connection.send(publish(5, 2, 'once', true));
    await connection.next('pubrec');
    connection.send({ cmd: 'pubrel', messageId: 5, reasonCode: 0 });
    expect(await connection.next('pubcomp')).toMatchObject({ messageId: 5 });
    connection.send(publish(5, 2, 'another'));
    await connection.next('pubrec');
    const { messages } = await read(bridge, 'a');
    expect(messages.map(({ message }) => message.payload.toString())).toEqual(['once', 'another']);
  });

  it('QoS 2: the identifier outlives the network connection in the same session, and not a lost one', async () => {
    gate.open();
    const first = await attach();
    first.send(publish(5, 2, 'once'));
    await first.next('pubrec');
    first.drop();
    const second = await broker.nextConnection();
    await second.accept({ sessionPresent: true });
    second.send(publish(5, 2, 'once', true));
    await second.next('pubrec');
    expect((await read(bridge, 'a')).messages).toHaveLength(1);
    second.drop();
    const third = await broker.nextConnection();
    await third.accept({ sessionPresent: false });
    third.send(publish(5, 2, 'new session'));
    await third.next('pubrec');
    expect((await read(bridge, 'a')).messages).toHaveLength(2);
    expect((await bridge.getConnection('a')).generation).toBe(2);
  });

  it('QoS 2 on 3.1, which tells of no session: DUP with a known identifier is the same message, without DUP a new one', async () => {
    gate.open();
    const opening = bridge.declareConnection('a', valid({ id: 'a', protocolVersion: '3.1', cleanSession: false }));
    const first = await broker.nextConnection();
    await first.accept();
    await opening;
    first.send(publish(5, 2, 'once'));
    await first.next('pubrec');
    first.drop();
    const second = await broker.nextConnection();
    await second.accept();
    second.send(publish(5, 2, 'once', true));
    await second.next('pubrec');
    expect((await read(bridge, 'a')).messages).toHaveLength(1);
    second.drop();
    const third = await broker.nextConnection();
    await third.accept();
    third.send(publish(5, 2, 'new'));
    await third.next('pubrec');
    const { messages } = await read(bridge, 'a');
    expect(messages.map(({ message }) => message.payload.toString())).toEqual(['once', 'new']);
  });

  it('a payload over the limit is acknowledged and kept as an oversize record', async () => {
    gate.open();
    await bridge.stop();
    bridge = await createTestBridge({ url: broker.url, store: gate.store, maxPayload: 10 });
    const connection = await attach();
    connection.send(publish(1, 1, 'longer than ten bytes'));
    await connection.next('puback');
    const [entry] = (await read(bridge, 'a')).messages;
    expect(entry?.message).toMatchObject({ oversize: 21, payload: Buffer.alloc(0) });
  });

  it('a malformed packet ends the connection', async () => {
    gate.open();
    const connection = await attach();
    connection.sendRaw(Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0x7f]));
    await connection.closed;
    const again = await broker.nextConnection();
    await again.accept({ sessionPresent: true });
    again.send(publish(1, 1, 'fine'));
    await again.next('puback');
  });
});
