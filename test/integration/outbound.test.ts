import { generate, type IPublishPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PublishResult } from '../../src/bridge/facade.ts';
import type { Holder, Store } from '../../src/bridge/ports.ts';
import { Problem } from '../../src/errors/problem.ts';
import type { OutgoingMessage, QoS } from '../../src/mqtt/message.ts';
import { MemoryBus } from '../../src/store/sqlite/bus.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { type GatedStore, openGatedStore } from '../helpers/gated-store.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const DOCUMENT = { id: 'a', sessionExpiryInterval: 600 };

describe('outbound', () => {
  let broker: ScriptedBroker;
  let store: Store;
  let bridge: TestBridge;
  /** Who asked for a lease last. */
  let holder: Holder | null = null;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    store = await openSqliteStore({ path: ':memory:' });
    const { leases } = store;
    const acquire = leases.acquire.bind(leases);
    leases.acquire = (key, asking, ttlMs) => {
      holder = asking;
      return acquire(key, asking, ttlMs);
    };
    bridge = await createTestBridge({ url: broker.url, store });
  });
  afterEach(async () => {
    await broker.stop();
    await bridge.end();
  });

  async function attach(connack = {}, document: object = DOCUMENT): Promise<ScriptedConnection> {
    const opening = bridge.declareConnection('a', valid(document));
    const connection = await broker.nextConnection();
    await connection.accept(connack);
    await opening;
    return connection;
  }

  async function publish(outgoing: OutgoingMessage, timeoutMs = 5_000): Promise<PublishResult> {
    const [result] = await bridge.publish('a', [{ message: outgoing, timeoutMs }]);
    if (result === undefined) throw new Error('no result');
    return result;
  }
  const send = (qos: QoS, timeoutMs?: number) => publish(message('out/a', `at ${qos}`, qos), timeoutMs);

  const state = async () => (await bridge.getConnection('a')).state;

  it('QoS 1 is answered after PUBACK, not before', async () => {
    const connection = await attach();
    let answered = false;
    const result = send(1).finally(() => {
      answered = true;
    });
    const packet = await connection.next('publish');
    expect(packet).toMatchObject({ topic: 'out/a', qos: 1, dup: false });
    await until(() => connection.received.length >= 2, { what: 'PUBLISH' });
    expect(answered).toBe(false);
    connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 });
    expect(await result).toEqual({ qos: 1, reasonCode: 0, reason: 'Success', matched: null });
  });

  it('QoS 2 is answered after PUBCOMP, and PUBREL leaves only once', async () => {
    const connection = await attach();
    const result = send(2);
    const { messageId = 0 } = await connection.next('publish');
    connection.send({ cmd: 'pubrec', messageId, reasonCode: 0x10 });
    expect(await connection.next('pubrel')).toMatchObject({ messageId });
    connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
    expect(await result).toMatchObject({ qos: 2, reasonCode: 0x10, matched: false });
    expect(connection.received.filter(({ cmd }) => cmd === 'pubrel')).toHaveLength(1);
  });

  it.each([
    [1, 'puback', 0x87],
    [2, 'pubrec', 0x97],
  ] as const)('QoS %i: a refusing %s is a 422 with its reason code', async (qos, cmd, reasonCode) => {
    const connection = await attach();
    const result = send(qos);
    const { messageId = 0 } = await connection.next('publish');
    connection.send({ cmd, messageId, reasonCode });
    expect(await result).toMatchObject({ type: 'broker-refused', details: { reasonCode } });
  });

  it('no more is in flight than the Receive Maximum of the broker, and all arrives in order', async () => {
    const connection = await attach({ properties: { receiveMaximum: 2 } });
    const results = bridge.publish(
      'a',
      Array.from({ length: 9 }, (_, index) => ({ message: message('out/a', `${index}`, 1), timeoutMs: 5_000 })),
    );
    const payloads: string[] = [];
    let inFlight: number[] = [];
    while (payloads.length < 9) {
      const packet = await connection.next('publish');
      payloads.push(packet.payload.toString());
      inFlight.push(packet.messageId ?? 0);
      if (inFlight.length < 2 && payloads.length < 9) continue;
      expect(connection.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(payloads.length);
      for (const messageId of inFlight) connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
      inFlight = [];
    }
    expect(payloads).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8']);
    expect(await results).toHaveLength(9);
  });

  it.each([
    [{ maximumQoS: 1 }, { qos: 2 }, 0x9b],
    [{ retainAvailable: false }, { qos: 0, retain: true }, 0x9a],
    [{ maximumPacketSize: 20 }, { qos: 0, payload: Buffer.alloc(30) }, 0x95],
  ] as const)('what CONNACK %j forbids is not sent', async (properties, change, reasonCode) => {
    const connection = await attach({ properties });
    const result = await publish({ ...message('out/a', 'x'), ...change });
    expect(result).toMatchObject({ type: 'broker-refused', details: { reasonCode } });
    const after = send(0);
    await connection.next('publish', ({ payload }) => payload.toString() === 'at 0');
    expect(await after).toMatchObject({ qos: 0 });
    expect(connection.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(1);
  });

  it('an acknowledgement that does not come: outcome unknown; nothing sent: broker unreachable', async () => {
    const connection = await attach();
    expect(await send(1, 100)).toMatchObject({ type: 'outcome-unknown', status: 504 });
    connection.drop();
    await broker.stop();
    await until(async () => (await state()) === 'offline', { what: 'offline' });
    expect(await send(1, 100)).toMatchObject({ type: 'broker-unreachable', status: 502 });
  });

  it('what was not acknowledged is sent again with DUP, in order, when the session is resumed', async () => {
    const first = await attach();
    const results = Promise.all([publish(message('out/a', 'one', 1)), publish(message('out/a', 'two', 1))]);
    const sent = [await first.next('publish'), await first.next('publish')];
    first.drop();
    const second = await broker.nextConnection();
    await second.accept({ sessionPresent: true });
    for (const { messageId = 0, payload } of sent) {
      const again = await second.next('publish');
      expect(again).toMatchObject({ messageId, payload, dup: true });
      second.send({ cmd: 'puback', messageId, reasonCode: 0 });
    }
    expect(await results).toMatchObject([{ reasonCode: 0 }, { reasonCode: 0 }]);
  });

  it('after a lost session QoS 1 is sent anew without DUP, and QoS 2 is an unknown outcome', async () => {
    const first = await attach();
    const one = publish(message('out/a', 'one', 1));
    const two = publish(message('out/a', 'two', 2));
    await first.next('publish', ({ qos }) => qos === 1);
    await first.next('publish', ({ qos }) => qos === 2);
    first.drop();
    const second = await broker.nextConnection();
    await second.accept({ sessionPresent: false });
    const again = await second.next('publish');
    expect(again).toMatchObject({ payload: Buffer.from('one'), dup: false });
    second.send({ cmd: 'puback', messageId: again.messageId ?? 0, reasonCode: 0 });
    expect(await one).toMatchObject({ reasonCode: 0 });
    expect(await two).toMatchObject({ type: 'outcome-unknown' });
  });

  it.each([1, 2] as const)(
    'QoS %i: a message that ends every connection it is sent on is given up, and those after it are sent',
    async (qos) => {
      let connection = await attach();
      const poison = publish(message('out/a', 'poison', qos), 30_000);
      for (let sent = 0; sent < 4; sent += 1) {
        expect(await connection.next('publish', undefined, 10_000)).toMatchObject({ payload: Buffer.from('poison') });
        connection.drop();
        connection = await broker.nextConnection(15_000);
        await connection.accept({ sessionPresent: true });
      }
      expect(await poison).toMatchObject({ type: 'outcome-unknown' });
      const next = publish(message('out/a', 'next', 1));
      const packet = await connection.next('publish');
      expect(packet.payload.toString()).toBe('next');
      connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 });
      expect(await next).toMatchObject({ qos: 1 });
      await until(async () => (await exchanges()).length === 0, { what: 'the exchange is forgotten' });
    },
  );

  /** As a process that was killed would leave it: the store keeps, the bridge is gone without a word. */
  async function succeed(): Promise<ScriptedConnection> {
    for (const connection of broker.connections) connection.pause();
    const successor = await createTestBridge({ url: broker.url, store: { ...store, bus: new MemoryBus() } });
    const starting = successor.start().then(() => successor.attachConnection('a'));
    const connection = await broker.nextConnection();
    await connection.accept({ sessionPresent: true });
    await starting;
    bridge = successor;
    return connection;
  }

  it('QoS 2: the next owner repeats PUBLISH with the same identifier where PUBREC had not come', async () => {
    const first = await attach();
    void send(2);
    const { messageId = 0 } = await first.next('publish');
    const second = await succeed();
    expect(await second.next('publish')).toMatchObject({ messageId, dup: true, payload: Buffer.from('at 2') });
    second.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
    await second.next('pubrel');
    second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
    await until(async () => (await exchanges()).length === 0, { what: 'the exchange is forgotten' });
  });

  it('QoS 2: the next owner sends PUBREL, never PUBLISH, where PUBREC had come', async () => {
    const first = await attach();
    void send(2);
    const { messageId = 0 } = await first.next('publish');
    first.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
    await first.next('pubrel');
    const second = await succeed();
    expect(await second.next('pubrel')).toMatchObject({ messageId });
    second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
    await until(async () => (await exchanges()).length === 0, { what: 'the exchange is forgotten' });
    expect(second.received.map(({ cmd }) => cmd)).not.toContain('publish');
  });

  describe('while the store records an exchange', () => {
    let gate: GatedStore;
    beforeEach(async () => {
      await bridge.end();
      gate = await openGatedStore('begin');
      store = gate.store;
      bridge = await createTestBridge({ url: broker.url, store });
    });
    afterEach(() => gate.open());

    it('PUBLISH does not leave, and nothing overtakes it', async () => {
      const connection = await attach();
      const results = [send(2), send(1)];
      await until(() => gate.gates.length === 1, { what: 'begin' });
      results.push(send(0));
      gate.open();
      for (const qos of [2, 1, 0]) {
        const { messageId = 0, payload } = await connection.next('publish');
        expect(payload.toString()).toBe(`at ${qos}`);
        if (qos === 1) connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
        if (qos === 2) connection.send({ cmd: 'pubrec', messageId, reasonCode: 0x97 });
      }
      expect(await Promise.all(results)).toMatchObject([{ type: 'broker-refused' }, { qos: 1 }, { qos: 0 }]);
    });

    it('a session that is lost meanwhile: it is recorded in the new one, and sent once', async () => {
      const first = await attach();
      const result = send(2);
      await until(() => gate.gates.length === 1, { what: 'begin' });
      first.drop();
      const second = await broker.nextConnection();
      await second.accept({ sessionPresent: false });
      await until(async () => (await state()) === 'online', { what: 'online' });
      gate.gates.shift()?.pass();
      await until(() => gate.gates.length === 1, { what: 'begin again' });
      expect(second.received.map(({ cmd }) => cmd)).not.toContain('publish');
      gate.open();
      const { messageId = 0 } = await second.next('publish');
      second.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
      await second.next('pubrel');
      second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
      expect(await result).toMatchObject({ qos: 2, reasonCode: 0 });
      expect(second.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(1);
    });

    it('a store that fails: a 503, and nothing was sent', async () => {
      const connection = await attach();
      const result = send(2);
      await until(() => gate.gates.length === 1, { what: 'begin' });
      gate.gates.shift()?.fail();
      expect(await result).toMatchObject({ type: 'store-unavailable', status: 503 });
      expect(connection.received.map(({ cmd }) => cmd)).not.toContain('publish');
    });
  });

  async function exchanges() {
    const record = await store.connections.byId('a');
    if (record === null) throw new Error('no record');
    if (holder === null) throw new Error('no owner');
    // In the owner's name: any other would take the lease from it.
    const lease = await store.leases.acquire(record.key, holder, 15_000);
    if ('heldBy' in lease) throw new Error('held');
    return store.exchanges.load(lease, 1);
  }

  it('an identifier of an exchange under way is not used for another', async () => {
    const connection = await attach();
    void send(2);
    const first = await connection.next('publish');
    const others = Array.from({ length: 5 }, () => send(1));
    const identifiers = new Set([first.messageId]);
    for (const _ of others) {
      const { messageId = 0 } = await connection.next('publish');
      expect(identifiers).not.toContain(messageId);
      identifiers.add(messageId);
      connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
    }
    await Promise.all(others);
  });

  it('too much that waits is refused at once', async () => {
    await attach({ properties: { receiveMaximum: 1 } });
    const results = bridge.publish(
      'a',
      Array.from({ length: 10_050 }, () => ({ message: message('out/a', '', 1), timeoutMs: 300 })),
    );
    const problems = (await results).filter((result) => result instanceof Problem).map(({ type }) => type);
    expect(problems.filter((type) => type === 'overloaded')).toHaveLength(50);
    expect(problems.filter((type) => type === 'outcome-unknown')).toHaveLength(1);
    expect(problems.filter((type) => type === 'no-answer')).toHaveLength(9_999);
  });

  it.each(['5.0', '3.1.1', '3.1'] as const)(
    'PUBLISH of %s carries exactly what was asked for',
    async (protocolVersion) => {
      const document = protocolVersion === '5.0' ? DOCUMENT : { id: 'a', cleanSession: false };
      const connection = await attach({}, { ...document, protocolVersion });
      const properties = {
        payloadFormatIndicator: 1 as const,
        messageExpiryInterval: 60,
        contentType: 'text/plain',
        responseTopic: 'reply/a',
        correlationData: Buffer.from([0, 255]),
        userProperties: { k: ['v1', 'v2'], other: ['x'] },
      };
      const plain = { topic: 'out/ü', payload: Buffer.from([0, 1]), qos: 1 as const, retain: true };
      if (protocolVersion !== '5.0') {
        const refused = await publish({ ...plain, properties });
        expect(refused).toMatchObject({ type: 'invalid-request', details: { errors: [{ pointer: '/properties' }] } });
      }
      const result = publish(protocolVersion === '5.0' ? { ...plain, properties } : plain);
      const packet: IPublishPacket = await connection.next('publish');
      expect(packet).toMatchObject({ topic: 'out/ü', payload: Buffer.from([0, 1]), qos: 1, retain: true });
      if (protocolVersion === '5.0') {
        expect(packet.properties).toMatchObject({
          ...properties,
          payloadFormatIndicator: true,
          userProperties: { k: ['v1', 'v2'], other: 'x' },
        });
      } else {
        expect(packet.properties).toBeUndefined();
      }
      connection.sendRaw(generate({ cmd: 'puback', messageId: packet.messageId ?? 0 }, { protocolVersion: 4 }));
      expect(await result).toMatchObject({ qos: 1 });
    },
  );
});
