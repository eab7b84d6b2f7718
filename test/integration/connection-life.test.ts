import type { IConnackPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../../src/bridge/ports.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, message, read, type TestBridge, valid } from '../helpers/bridge.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const PERSISTENT = { id: 'a', sessionExpiryInterval: 600 };
const PERSISTENT_311 = { id: 'a', protocolVersion: '3.1.1', cleanSession: false };

describe("a Connection's life", () => {
  let broker: ScriptedBroker;
  let store: Store;
  let bridge: TestBridge;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    store = await openSqliteStore({ path: ':memory:' });
    bridge = await createTestBridge({ url: broker.url, store });
  });
  afterEach(async () => {
    await broker.stop();
    await bridge.end();
  });

  type Connack = Partial<Omit<IConnackPacket, 'cmd'>>;
  async function declare(document: object, connack: Connack = {}): Promise<ScriptedConnection> {
    const opening = bridge.declareConnection('a', valid(document));
    const connection = await broker.nextConnection();
    await connection.accept(connack);
    await opening;
    return connection;
  }
  const view = () => bridge.getConnection('a');
  const untilState = (state: string) => until(async () => (await view()).state === state, { what: state });

  describe('refusals', () => {
    it.each([
      [0x85, 'refused'],
      [0x86, 'refused'],
      [0x87, 'refused'],
      [0x8c, 'refused'],
      [0x88, 'offline'],
      [0x89, 'offline'],
      [0x97, 'offline'],
      [0x9f, 'offline'],
    ])('CONNACK 0x%s: %s', async (reasonCode, state) => {
      const opening = bridge.declareConnection('a', valid(PERSISTENT));
      const connection = await broker.nextConnection();
      await connection.accept({ reasonCode, properties: { reasonString: 'because' } });
      const { connection: seen } = await opening;
      expect(seen).toMatchObject({ state, reason: { code: 'broker-refused', reasonCode, reason: 'because' } });
    });

    it.each([
      [1, 'refused'],
      [2, 'refused'],
      [3, 'offline'],
      [4, 'refused'],
      [5, 'refused'],
    ])('return code %i of 3.1.1: %s', async (returnCode, state) => {
      const opening = bridge.declareConnection('a', valid(PERSISTENT_311));
      await (await broker.nextConnection()).accept({ returnCode });
      expect((await opening).connection).toMatchObject({ state, reason: { reasonCode: returnCode } });
    });

    it('POST keeps nothing of a Connection that the broker refused', async () => {
      const opening = bridge.openConnection(valid(PERSISTENT)).catch((problem) => problem);
      await (await broker.nextConnection()).accept({ reasonCode: 0x86 });
      expect(await opening).toMatchObject({ type: 'broker-refused', details: { reasonCode: 0x86 } });
      await expect(view()).rejects.toMatchObject({ type: 'connection-not-found' });
      expect(await store.connections.list(null, 10)).toEqual([]);
    });

    it('a publish on a refused Connection is a 409 at once; attach tries again', async () => {
      const opening = bridge.declareConnection('a', valid(PERSISTENT));
      await (await broker.nextConnection()).accept({ reasonCode: 0x87 });
      await opening;
      const [result] = await bridge.publish('a', [{ message: message('t', 'x', 1), timeoutMs: 5_000 }]);
      expect(result).toMatchObject({ type: 'connection-not-usable', status: 409, details: { reasonCode: 0x87 } });
      const attaching = bridge.attachConnection('a');
      await (await broker.nextConnection()).accept();
      expect(await attaching).toMatchObject({ state: 'online', reason: null });
    });

    it.each([
      [5, [0x20, 0]],
      [4, [0x20, 1, 0]],
    ])('a CONNACK without a code (level %i): no answer in time', async (level, bytes) => {
      const document = level === 5 ? PERSISTENT : PERSISTENT_311;
      const opening = bridge.openConnection(valid({ ...document, connectTimeout: 1 })).catch((problem) => problem);
      const connection = await broker.nextConnection();
      await connection.next('connect');
      connection.sendRaw(Buffer.from(bytes));
      expect([502, 504]).toContain((await opening).status);
    });

    it('a broker that says nothing: no answer in time', async () => {
      const opening = bridge.openConnection(valid({ ...PERSISTENT, connectTimeout: 1 })).catch((problem) => problem);
      await (await broker.nextConnection()).next('connect');
      expect(await opening).toMatchObject({ type: 'no-answer', status: 504 });
    });
  });

  describe('sessions', () => {
    it('comes back by itself after the connection is lost, with Clean Start 0, and subscribes only what is missing', async () => {
      const document = { ...PERSISTENT, cleanStart: true, subscriptions: [{ filter: 'a/#', qos: 1 }] };
      const opening = bridge.declareConnection('a', valid(document));
      const first = await broker.nextConnection();
      expect(await first.accept()).toMatchObject({ clean: true });
      const { messageId = 0 } = await first.next('subscribe');
      first.send({ cmd: 'suback', messageId, granted: [1] });
      expect((await opening).connection).toMatchObject({ generation: 1, subscriptions: [{ granted: { qos: 1 } }] });
      first.drop();

      const second = await broker.nextConnection();
      expect(await second.accept({ sessionPresent: true })).toMatchObject({ clean: false });
      await untilState('online');
      expect(await view()).toMatchObject({ generation: 1, connack: { sessionPresent: true }, reason: null });
      second.drop();

      const third = await broker.nextConnection();
      await third.accept({ sessionPresent: false });
      const again = await third.next('subscribe');
      expect(again.subscriptions).toMatchObject([{ topic: 'a/#', qos: 1 }]);
      third.send({ cmd: 'suback', messageId: again.messageId ?? 0, granted: [1] });
      await untilState('online');
      expect(await view()).toMatchObject({
        generation: 2,
        connack: { sessionPresent: false },
        reason: { code: 'session-lost' },
      });
      expect(second.received.map(({ cmd }) => cmd)).not.toContain('subscribe');
    });

    it('a session that was to end is not lost: PATCH of the expiry from 0', async () => {
      const first = await declare({ id: 'a' });
      const changing = bridge.patchConnection('a', { sessionExpiryInterval: 60 });
      await first.next('disconnect');
      await (await broker.nextConnection()).accept({ sessionPresent: false });
      expect(await changing).toMatchObject({ state: 'online', reason: null, generation: 2 });
    });

    it('a session that was to end is not lost: detach with expiry 0, a restart between', async () => {
      await declare(PERSISTENT);
      await bridge.detachConnection('a', { sessionExpiryInterval: 0, will: null });
      await bridge.stop();
      bridge = await createTestBridge({ url: broker.url, store });
      const attaching = bridge.attachConnection('a');
      await (await broker.nextConnection()).accept({ sessionPresent: false });
      expect(await attaching).toMatchObject({ state: 'online', reason: null, generation: 2 });
    });

    it('a session that the broker did not mean to keep is not lost', async () => {
      const first = await declare(PERSISTENT, { properties: { sessionExpiryInterval: 0 } });
      first.drop();
      await (await broker.nextConnection()).accept({ sessionPresent: false });
      await until(async () => (await view()).generation === 2, { what: 'the second session' });
      expect(await view()).toMatchObject({ state: 'online', reason: null });
    });

    it('a session that was kept is lost, although it is not to be kept from now on', async () => {
      await declare(PERSISTENT);
      const changing = bridge.patchConnection('a', { sessionExpiryInterval: 0 });
      await (await broker.nextConnection()).accept({ sessionPresent: false });
      expect(await changing).toMatchObject({ state: 'online', reason: { code: 'session-lost' } });
    });

    it('options that change send SUBSCRIBE, a filter that is gone UNSUBSCRIBE, and nothing reconnects', async () => {
      const opening = bridge.declareConnection('a', valid({ ...PERSISTENT, subscriptions: [{ filter: 'a', qos: 1 }] }));
      const connection = await broker.nextConnection();
      await connection.accept();
      connection.send({ cmd: 'suback', messageId: (await connection.next('subscribe')).messageId ?? 0, granted: [1] });
      await opening;
      const subscriptions = [{ filter: 'b', qos: 2, noLocal: true, retainHandling: 2, subscriptionIdentifier: 9 }];
      const changing = bridge.declareConnection('a', valid({ ...PERSISTENT, subscriptions }));
      const unsubscribe = await connection.next('unsubscribe');
      expect(unsubscribe.unsubscriptions).toEqual(['a']);
      connection.send({ cmd: 'unsuback', messageId: unsubscribe.messageId ?? 0, granted: [0] });
      const subscribe = await connection.next('subscribe');
      expect(subscribe).toMatchObject({
        subscriptions: [{ topic: 'b', qos: 2, nl: true, rh: 2 }],
        properties: { subscriptionIdentifier: 9 },
      });
      connection.send({ cmd: 'suback', messageId: subscribe.messageId ?? 0, granted: [2] });
      const { connection: seen } = await changing;
      expect(seen.subscriptions).toMatchObject([{ filter: 'b', granted: { qos: 2 } }]);
      expect(broker.connections).toHaveLength(1);
    });

    it('each filter has its own answer, and one that is refused is not kept', async () => {
      const connection = await declare(PERSISTENT);
      const adding = bridge.addSubscriptions('a', [
        { filter: 'good', qos: 1 },
        { filter: 'bad', qos: 1 },
      ]);
      const { messageId = 0 } = await connection.next('subscribe');
      connection.send({ cmd: 'suback', messageId, granted: [0, 0x87] });
      const removing = connection.next('unsubscribe').then(({ messageId: id = 0 }) => {
        connection.send({ cmd: 'unsuback', messageId: id, granted: [0] });
      });
      expect(await adding).toMatchObject({
        applied: true,
        results: [
          { filter: 'good', granted: { qos: 0, reasonCode: 0 } },
          { filter: 'bad', granted: { qos: null, reasonCode: 0x87, reason: 'Not authorized' } },
        ],
      });
      await removing;
      expect((await bridge.listSubscriptions('a')).map(({ filter }) => filter)).toEqual(['good']);
    });

    it('filters that mean something to JavaScript are filters like others, and each has its own answer', async () => {
      const filters = ['b', '1', '__proto__', 'resubscribe', '0', 'constructor'];
      const subscriptions = filters.map((filter, index) => ({ filter, qos: (index % 3) as 0 | 1 | 2 }));
      const opening = bridge.declareConnection('a', valid({ ...PERSISTENT, subscriptions }));
      const connection = await broker.nextConnection();
      await connection.accept();
      const packet = await connection.next('subscribe');
      expect(packet.subscriptions.map(({ topic, qos }) => ({ filter: topic, qos }))).toEqual(subscriptions);
      connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [0, 1, 2, 0x87, 1, 2] });
      const { connection: seen } = await opening;
      expect(seen.subscriptions.map(({ filter, granted }) => [filter, granted?.reasonCode])).toEqual(
        filters.map((filter, index) => [filter, [0, 1, 2, 0x87, 1, 2][index]]),
      );
    });

    it.each([[[]], [[0, 0]]])('a SUBACK with codes %j for one filter ends the connection', async (granted) => {
      const opening = bridge.declareConnection('a', valid({ ...PERSISTENT, subscriptions: [{ filter: 'a', qos: 0 }] }));
      const connection = await broker.nextConnection();
      await connection.accept();
      const { messageId = 0 } = await connection.next('subscribe');
      connection.sendRaw(Buffer.from([0x90, 3 + granted.length, messageId >> 8, messageId & 0xff, 0, ...granted]));
      await connection.closed;
      expect((await opening).connection.state).toBe('offline');
    });

    it('credentials that change re-attach to the same session, with an ordinary DISCONNECT before', async () => {
      const first = await declare({ ...PERSISTENT, username: 'u', password: 'old' });
      const changing = bridge.patchConnection('a', { password: 'new' });
      expect(await first.next('disconnect')).toMatchObject({ reasonCode: 0 });
      const second = await broker.nextConnection();
      const connect = await second.accept({ sessionPresent: true });
      expect(connect).toMatchObject({ clean: false, username: 'u', password: Buffer.from('new') });
      expect(await changing).toMatchObject({ state: 'online', generation: 1, secrets: ['password'] });
    });

    it('another protocol version: packets are written in it, and the session counts as another', async () => {
      const first = await declare(PERSISTENT);
      const { sessionExpiryInterval: _v5, ...rest } = PERSISTENT;
      const changing = bridge.declareConnection('a', valid({ ...rest, protocolVersion: '3.1.1', cleanSession: false }));
      await first.next('disconnect');
      const second = await broker.nextConnection();
      expect(await second.accept({ sessionPresent: true })).toMatchObject({ protocolVersion: 4 });
      expect((await changing).connection).toMatchObject({ state: 'online', generation: 2 });
      const publishing = bridge.publish('a', [{ message: message('t', 'hello', 1), timeoutMs: 5_000 }]);
      const packet = await second.next('publish');
      expect(packet.payload.toString()).toBe('hello');
      second.send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
      expect(await publishing).toMatchObject([{ qos: 1 }]);
    });

    it('an UNSUBSCRIBE that the broker refuses is told', async () => {
      const opening = bridge.declareConnection('a', valid({ ...PERSISTENT, subscriptions: [{ filter: 'x', qos: 0 }] }));
      const connection = await broker.nextConnection();
      await connection.accept();
      connection.send({ cmd: 'suback', messageId: (await connection.next('subscribe')).messageId ?? 0, granted: [0] });
      await opening;
      const removing = bridge.removeSubscription('a', 'x').catch((problem) => problem);
      const { messageId = 0 } = await connection.next('unsubscribe');
      connection.send({ cmd: 'unsuback', messageId, granted: [0x87] });
      expect(await removing).toMatchObject({ type: 'broker-refused' });
    });

    it('a refused attempt leaves what the queue holds', async () => {
      const first = await declare(PERSISTENT);
      first.send({ cmd: 'publish', topic: 'a', payload: 'kept', qos: 1, messageId: 1, dup: false, retain: false });
      await first.next('puback');
      first.drop();
      await (await broker.nextConnection()).accept({ reasonCode: 0x87 });
      await untilState('refused');
      expect((await read(bridge, 'a')).messages).toHaveLength(1);
    });
  });

  describe('the end', () => {
    it('detach parks, publishing attaches again', async () => {
      const first = await declare(PERSISTENT);
      const detaching = bridge.detachConnection('a', { sessionExpiryInterval: 60, will: null });
      expect(await first.next('disconnect')).toMatchObject({
        reasonCode: 0,
        properties: { sessionExpiryInterval: 60 },
      });
      expect(await detaching).toMatchObject({ state: 'parked', owner: null });
      const publishing = bridge.publish('a', [{ message: message('t', 'x', 1), timeoutMs: 5_000 }]);
      const second = await broker.nextConnection();
      await second.accept({ sessionPresent: true });
      second.send({ cmd: 'puback', messageId: (await second.next('publish')).messageId ?? 0, reasonCode: 0 });
      expect(await publishing).toMatchObject([{ reasonCode: 0 }]);
    });

    it('stays detached, even when the connection is lost while it is being ended', async () => {
      const first = await declare(PERSISTENT);
      const publishing = bridge.publish('a', [{ message: message('t', 'x', 1), timeoutMs: 5_000 }]);
      await first.next('publish');
      const detaching = bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });
      first.drop();
      expect(await detaching).toMatchObject({ state: 'parked', owner: null });
      const second = await broker.nextConnection(2_000).catch(() => null);
      expect(second).toBeNull();
      await bridge.stop();
      await publishing;
    });

    it('many publishes on a parked Connection share one attempt', async () => {
      const first = await declare(PERSISTENT);
      await Promise.all([
        bridge.detachConnection('a', { sessionExpiryInterval: null, will: null }),
        first.next('disconnect'),
      ]);
      const one = { message: message('t', 'x', 0), timeoutMs: 5_000 };
      const publishing = Promise.all(Array.from({ length: 50 }, () => bridge.publish('a', [one])));
      await (await broker.nextConnection()).accept({ reasonCode: 0x89 });
      await (await broker.nextConnection()).accept({ sessionPresent: true });
      await publishing;
      expect(broker.connections).toHaveLength(3);
    });

    it('a PUT that changes nothing leaves a parked Connection parked, and without owner', async () => {
      const first = await declare(PERSISTENT);
      await bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });
      await first.closed;
      const { created, connection } = await bridge.declareConnection('a', valid(PERSISTENT));
      expect(created).toBe(false);
      expect(connection).toMatchObject({ state: 'parked', owner: null });
    });

    it.each([
      { sessionExpiryInterval: 30, will: null },
      { sessionExpiryInterval: null, will: 'send' as const },
    ])('what only DISCONNECT can say is not dropped silently when there is no connection: %j', async (ending) => {
      await declare(PERSISTENT);
      await bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });
      await expect(bridge.detachConnection('a', ending)).rejects.toMatchObject({ type: 'not-attached' });
      expect(await view()).toMatchObject({ state: 'parked', owner: null });
    });

    it('an expiry cannot be raised from zero at DISCONNECT', async () => {
      await declare({ id: 'a' });
      await expect(bridge.detachConnection('a', { sessionExpiryInterval: 60, will: null })).rejects.toMatchObject({
        type: 'session-expiry-not-allowed',
      });
    });

    it('the Will is asked for: 0x04 on v5', async () => {
      const connection = await declare({ ...PERSISTENT, will: { topic: 'w', payload: 'gone' } });
      const detaching = bridge.detachConnection('a', { sessionExpiryInterval: null, will: 'send' });
      expect(await connection.next('disconnect')).toMatchObject({ reasonCode: 4 });
      await detaching;
    });

    it('the Will is asked for: the socket is dropped on 3.1.1', async () => {
      const connection = await declare({ ...PERSISTENT_311, will: { topic: 'w', payload: 'gone' } });
      await bridge.detachConnection('a', { sessionExpiryInterval: null, will: 'send' });
      await connection.closed;
      expect(connection.received.map(({ cmd }) => cmd)).not.toContain('disconnect');
    });

    it('DELETE discards the session: expiry 0 at DISCONNECT on v5', async () => {
      const connection = await declare(PERSISTENT);
      const deleting = bridge.deleteConnection('a', { session: 'discard', will: null });
      expect(await connection.next('disconnect')).toMatchObject({
        reasonCode: 0,
        properties: { sessionExpiryInterval: 0 },
      });
      expect(await deleting).toBe('deleted');
    });

    it('DELETE discards the session: a clean connection without Will on 3.1.1', async () => {
      const first = await declare({ ...PERSISTENT_311, will: { topic: 'w', payload: 'gone' } });
      const deleting = bridge.deleteConnection('a', { session: 'discard', will: null });
      await first.next('disconnect');
      const second = await broker.nextConnection();
      const connect = await second.accept();
      expect(connect.clean).toBe(true);
      expect(connect.will).toBeUndefined();
      await second.next('disconnect');
      expect(await deleting).toBe('deleted');
    });

    it('DELETE with the broker out of reach is pending, and a new Connection waits for it', async () => {
      const connection = await declare(PERSISTENT);
      connection.send({ cmd: 'publish', topic: 'a', payload: 'x', qos: 1, messageId: 1, dup: false, retain: false });
      await connection.next('puback');
      await broker.stop();
      await untilState('offline');
      expect(await bridge.deleteConnection('a', { session: 'discard', will: null })).toBe('pending');
      await expect(view()).rejects.toMatchObject({ type: 'connection-not-found' });

      broker = await startScriptedBroker(broker.port);
      const opening = bridge.openConnection(valid(PERSISTENT));
      const discarding = await broker.nextConnection();
      expect(await discarding.accept()).toMatchObject({ clean: true, properties: { sessionExpiryInterval: 0 } });
      await discarding.next('disconnect');
      await (await broker.nextConnection()).accept();
      expect(await opening).toMatchObject({ created: true, connection: { state: 'online', queue: { depth: 0 } } });
    });

    it('DELETE with session=keep leaves it', async () => {
      const connection = await declare(PERSISTENT);
      const deleting = bridge.deleteConnection('a', { session: 'keep', will: null });
      const { properties } = await connection.next('disconnect');
      expect(properties?.sessionExpiryInterval).toBeUndefined();
      expect(await deleting).toBe('deleted');
    });

    it.each([
      ['a SUBACK', 'subscribe'],
      ['nothing', null],
    ] as const)('a stop does not wait for %s that is outstanding: DISCONNECT leaves', async (_what, outstanding) => {
      const connection = await declare(PERSISTENT);
      const adding =
        outstanding && bridge.addSubscriptions('a', [{ filter: 'slow', qos: 0 }]).catch((problem) => problem);
      if (outstanding) await connection.next(outstanding);
      await bridge.stop();
      await connection.next('disconnect');
      await adding;
    });

    it('a stop does not wait for a CONNACK, and ends with DISCONNECT, so that no Will is published', async () => {
      const document = { ...PERSISTENT, connectTimeout: 120, will: { topic: 'w', payload: 'gone' } };
      const opening = bridge.openConnection(valid(document)).catch((problem) => problem);
      const connection = await broker.nextConnection();
      await connection.next('connect');
      await bridge.stop();
      expect(await connection.next('disconnect')).toMatchObject({ reasonCode: 0 });
      await connection.closed;
      await opening;
    });
  });
});
