import type { IPublishPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeptAnswer, KeptRequest, PublicationView } from '../../src/bridge/facade.ts';
import type { Key } from '../../src/bridge/ports.ts';
import { Problem } from '../../src/errors/problem.ts';
import type { OutgoingMessage, QoS } from '../../src/mqtt/message.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { freePort } from '../helpers/ports.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

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

async function attach(more: object = {}, connack: object = {}): Promise<ScriptedConnection> {
  const opening = bridge.openConnection(valid({ id: 'a', sessionExpiryInterval: 3600, cleanStart: false, ...more }));
  const connection = await broker.nextConnection();
  await connection.accept(connack);
  await opening;
  return connection;
}

/** After a loss: the next network connection. */
async function again(sessionPresent: boolean): Promise<ScriptedConnection> {
  const connection = await broker.nextConnection(10_000);
  await connection.accept({ sessionPresent });
  return connection;
}

function request(messages: readonly (OutgoingMessage | Problem)[], more: Partial<KeptRequest> = {}): KeptRequest {
  const items = messages.map((item) => (item instanceof Problem ? item : { message: item, timeoutMs: 5_000 }));
  const members = { batch: messages.length > 1, respondAsync: false, idempotencyKey: null, fingerprint: 'f' };
  return { ...members, items, ...more };
}

function keyed(qos: QoS, more: Partial<KeptRequest> = {}): Promise<KeptAnswer | Problem> {
  return publish(request([message('out/a', `at ${qos}`, qos)], { idempotencyKey: 'k', ...more }));
}

function publish(asked: KeptRequest): Promise<KeptAnswer | Problem> {
  return bridge.publishKept('a', asked).catch((problem: Problem) => problem);
}

async function queue(texts: readonly string[], qos: QoS = 1, more: Partial<KeptRequest> = {}): Promise<string> {
  const messages = texts.map((text) => message('out/a', text, qos));
  const answer = await bridge.publishKept('a', request(messages, { respondAsync: true, batch: true, ...more }));
  if (!('publishId' in answer)) throw new Error('it was not queued');
  return answer.publishId;
}

function done(publishId: string): Promise<PublicationView['results']> {
  const look = async () => {
    const { results } = await bridge.getPublication(publishId);
    return results.includes(null) ? null : results;
  };
  return until(look, { what: 'all have an outcome', within: 10_000 });
}

const resultsOf = (answer: KeptAnswer | Problem) => ('results' in answer ? answer.results : answer);
const published = ({ received }: ScriptedConnection) =>
  received.filter((packet): packet is IPublishPacket => packet.cmd === 'publish');
const payloads = (connection: ScriptedConnection) => published(connection).map(({ payload }) => payload.toString());

/** Acknowledges what comes, in whatever QoS, until the connection ends. */
function acknowledge(connection: ScriptedConnection, count: number): Promise<void> {
  const each = async () => {
    for (let left = count; left > 0; left -= 1) await acknowledgeOne(connection);
  };
  return each();
}

async function acknowledgeOne(connection: ScriptedConnection, reasonCode = 0): Promise<IPublishPacket> {
  const packet = await connection.next('publish');
  const { qos, messageId = 0 } = packet;
  if (qos === 1) connection.send({ cmd: 'puback', messageId, reasonCode });
  if (qos === 2) await exchange(connection, messageId, reasonCode);
  return packet;
}

async function exchange(connection: ScriptedConnection, messageId: number, reasonCode = 0): Promise<void> {
  connection.send({ cmd: 'pubrec', messageId, reasonCode });
  if (reasonCode >= 0x80) return;
  await connection.next('pubrel', (packet) => packet.messageId === messageId);
  connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
}

describe('an Idempotency-Key', () => {
  it.each([0, 1, 2] as const)('QoS %i: a repeat gets the outcome of the first, and publishes nothing', async (qos) => {
    const connection = await attach();
    const [first] = await Promise.all([keyed(qos), acknowledgeOne(connection, qos === 0 ? 0 : 0x10)]);
    const reasonCode = qos === 0 ? 0 : 0x10;
    const matched = qos === 0 ? null : false;
    expect(first).toMatchObject({ replayed: false, results: [{ qos, reasonCode, matched }] });
    expect(await keyed(qos)).toEqual({ ...first, replayed: true });
    expect(await keyed(qos, { fingerprint: 'other' })).toMatchObject({ type: 'idempotency-key-reused' });
    expect(published(connection)).toHaveLength(1);
  });

  it.each([1, 2] as const)('QoS %i: a refusal of the broker is an outcome like any other', async (qos) => {
    const connection = await attach();
    const [first] = await Promise.all([keyed(qos), acknowledgeOne(connection, 0x87)]);
    const refused = { type: 'broker-refused', details: { reasonCode: 0x87, reason: 'Not authorized' } };
    expect(resultsOf(first)).toMatchObject([refused]);
    const repeat = await keyed(qos);
    expect(repeat).toMatchObject({ replayed: true });
    expect(resultsOf(repeat)).toMatchObject([refused]);
    expect(published(connection)).toHaveLength(1);
  });

  it('of a request that still runs is a conflict; with another body it is another request', async () => {
    const connection = await attach();
    const first = keyed(1);
    await connection.next('publish');
    expect(await keyed(1)).toMatchObject({ type: 'still-running', status: 409 });
    expect(await keyed(1, { fingerprint: 'other' })).toMatchObject({ type: 'idempotency-key-reused', status: 422 });
    connection.send({ cmd: 'puback', messageId: published(connection)[0]?.messageId ?? 0, reasonCode: 0 });
    expect(await first).toMatchObject({ replayed: false });
    expect(published(connection)).toHaveLength(1);
  });

  it('many at once with the same one publish once', async () => {
    const connection = await attach();
    const all = Promise.all(Array.from({ length: 20 }, () => keyed(2)));
    await acknowledgeOne(connection);
    const answers = await all;
    expect(answers.filter((answer) => 'results' in answer)).toHaveLength(1);
    expect(answers.filter((answer) => answer instanceof Problem && answer.type === 'still-running')).toHaveLength(19);
    expect(published(connection)).toHaveLength(1);
  });

  it('where nothing was sent, a repeat tries again', async () => {
    const connection = await attach();
    await broker.stop();
    await until(async () => (await bridge.getConnection('a')).state === 'offline', { what: 'offline' });
    const items = [{ message: message('out/a', 'at 1', 1), timeoutMs: 50 }];
    const tried = await publish(request([], { items, idempotencyKey: 'k' }));
    expect(resultsOf(tried)).toMatchObject([{ type: 'broker-unreachable' }]);
    broker = await startScriptedBroker(broker.port);
    const second = await again(true);
    const [answer] = await Promise.all([keyed(1), acknowledgeOne(second)]);
    expect(answer).toMatchObject({ replayed: false, results: [{ qos: 1 }] });
    expect(published(connection)).toHaveLength(0);
  });

  it('of a batch: what has an outcome is not published again, what was not sent is', async () => {
    const connection = await attach({}, { properties: { receiveMaximum: 1 } });
    const faulty = new Problem('invalid-request', { detail: 'faulty', errors: [{ pointer: '/topic', detail: 'no' }] });
    const batch = (timeoutMs: number) =>
      request([], {
        ...{ idempotencyKey: 'k', batch: true },
        items: [
          { message: message('out/a', 'one', 1), timeoutMs },
          faulty,
          { message: message('out/a', 'two', 1), timeoutMs },
        ],
      });
    const first = publish(batch(300));
    await connection.next('publish');
    expect(resultsOf(await first)).toMatchObject([
      { type: 'outcome-unknown' },
      { type: 'invalid-request' },
      { type: 'no-answer' },
    ]);
    connection.send({ cmd: 'puback', messageId: published(connection)[0]?.messageId ?? 0, reasonCode: 0 });
    const [second] = await Promise.all([publish(batch(5_000)), acknowledgeOne(connection)]);
    const results = [
      { type: 'outcome-unknown' },
      { type: 'invalid-request', details: { detail: 'faulty' } },
      { qos: 1 },
    ];
    expect(second).toMatchObject({ replayed: false, results });
    expect(await publish(batch(5_000))).toMatchObject({ replayed: true, results });
    expect(payloads(connection)).toEqual(['one', 'two']);
  });

  it('QoS 2: the exchange decides, however late; until then the request counts as running', async () => {
    const connection = await attach();
    const items = [{ message: message('out/a', 'slow', 2), timeoutMs: 100 }];
    const slow = () => publish(request([], { items, idempotencyKey: 'k' }));
    expect(resultsOf(await slow())).toMatchObject([{ type: 'outcome-unknown' }]);
    expect(await slow()).toMatchObject({ type: 'still-running' });
    await acknowledgeOne(connection);
    const answer = await until(
      async () => {
        const repeat = await slow();
        return repeat instanceof Problem ? null : repeat;
      },
      { what: 'the outcome' },
    );
    expect(answer).toMatchObject({ replayed: true, results: [{ qos: 2, reasonCode: 0 }] });
    expect(published(connection)).toHaveLength(1);
  });

  it('QoS 2: after a lost session the outcome is unknown, for every repeat', async () => {
    const first = await attach();
    const answer = keyed(2);
    await first.next('publish');
    first.drop();
    const second = await again(false);
    expect(resultsOf(await answer)).toMatchObject([{ type: 'outcome-unknown' }]);
    for (let repeats = 0; repeats < 2; repeats += 1) {
      const repeat = await keyed(2);
      expect(repeat).toMatchObject({ replayed: true });
      expect(resultsOf(repeat)).toMatchObject([{ type: 'outcome-unknown' }]);
    }
    expect(published(second)).toHaveLength(0);
  });

  it('replays on a Connection that was refused since, and publishes nothing new there', async () => {
    const connection = await attach();
    await Promise.all([keyed(1), acknowledgeOne(connection)]);
    connection.drop();
    const refusing = await broker.nextConnection();
    await refusing.accept({ reasonCode: 0x87 });
    await until(async () => (await bridge.getConnection('a')).state === 'refused', { what: 'refused' });
    expect(await keyed(1)).toMatchObject({ replayed: true, results: [{ qos: 1 }] });
    expect(await keyed(1, { idempotencyKey: 'new' })).toMatchObject({ type: 'connection-not-usable' });
    expect(await publish(request([message('t', 'x', 1)], { respondAsync: true }))).toMatchObject({
      type: 'connection-not-usable',
    });
  });

  it('goes with the Connection', async () => {
    const connection = await attach();
    await Promise.all([keyed(1), acknowledgeOne(connection)]);
    await bridge.deleteConnection('a', { session: 'discard', will: null });
    const next = await attach();
    const [answer] = await Promise.all([keyed(1), acknowledgeOne(next)]);
    expect(answer).toMatchObject({ replayed: false });
  });
});

describe('respond-async', () => {
  it.each([0, 1, 2] as const)(
    'QoS %i: queued while the broker is away, published in order when it is back',
    async (qos) => {
      const port = broker.port;
      await attach();
      await broker.stop();
      await until(async () => (await bridge.getConnection('a')).state === 'offline', { what: 'offline' });
      const ids: string[] = [];
      for (const text of ['1', '2', '3']) ids.push(await queue([`${text}a`, `${text}b`], qos));
      expect((await bridge.getPublication(ids[0] ?? '')).results).toEqual([null, null]);
      broker = await startScriptedBroker(port);
      const connection = await again(true);
      await acknowledge(connection, 6);
      for (const id of ids)
        expect(await done(id)).toMatchObject([
          { qos, reasonCode: 0 },
          { qos, reasonCode: 0 },
        ]);
      expect(payloads(connection)).toEqual(['1a', '1b', '2a', '2b', '3a', '3b']);
    },
  );

  it('a long outbox is sent once, in order, through a small window and a lost connection', async () => {
    const texts = Array.from({ length: 700 }, (_, index) => `${index}`);
    const first = await attach({}, { properties: { receiveMaximum: 10 } });
    const id = await queue(texts, 1);
    await acknowledge(first, 300);
    first.drop();
    const second = await broker.nextConnection(10_000);
    await second.accept({ sessionPresent: true, properties: { receiveMaximum: 10 } });
    const seen = new Set(payloads(first));
    const isDone = done(id).then(() => null);
    for (;;) {
      const packet = await Promise.race([second.next('publish', undefined, 20_000), isDone]);
      if (packet === null) break;
      // What was under way comes first, with DUP.
      if (seen.has(packet.payload.toString())) expect(packet.dup).toBe(true);
      seen.add(packet.payload.toString());
      second.send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 });
    }
    expect([...seen]).toEqual(texts);
  });

  it('a faulty message of a batch has its problem at once, and a refused one its own', async () => {
    const connection = await attach();
    const faulty = new Problem('invalid-request', { detail: 'faulty' });
    const asked = request([message('t', 'a', 1), faulty, message('t', 'c', 1)], { respondAsync: true });
    const answer = await publish(asked);
    if (!('publishId' in answer)) throw new Error('it was not queued');
    await acknowledgeOne(connection, 0x99);
    await acknowledgeOne(connection);
    expect(await done(answer.publishId)).toMatchObject([
      { type: 'broker-refused', details: { reasonCode: 0x99 } },
      { type: 'invalid-request' },
      { qos: 1 },
    ]);
  });

  it('with an Idempotency-Key a repeat is answered with the same publishId', async () => {
    const connection = await attach();
    const id = await queue(['x'], 1, { idempotencyKey: 'k' });
    expect(await keyed(1)).toEqual({ replayed: true, publishId: id });
    await acknowledgeOne(connection);
    await done(id);
    expect(await queue(['x'], 1, { idempotencyKey: 'k' })).toBe(id);
    expect(await keyed(1, { fingerprint: 'other' })).toMatchObject({ type: 'idempotency-key-reused' });
    expect(published(connection)).toHaveLength(1);
  });

  it('a Message Expiry Interval goes on while it waits, and what has expired is not sent', async () => {
    const port = broker.port;
    await attach();
    await broker.stop();
    await until(async () => (await bridge.getConnection('a')).state === 'offline', { what: 'offline' });
    const expiring = (text: string, messageExpiryInterval: number): OutgoingMessage => ({
      ...message('t', text, 1),
      properties: { messageExpiryInterval },
    });
    const asked = request([expiring('short', 1), expiring('long', 100), message('t', 'ever', 1)], {
      respondAsync: true,
    });
    const answer = await publish(asked);
    if (!('publishId' in answer)) throw new Error('it was not queued');
    const look = async () => (await bridge.getPublication(answer.publishId)).results[0] ?? null;
    // Nothing is handed over while the broker is away: the time passes in the store.
    await until(async () => Date.now() - (await bridge.getPublication(answer.publishId)).acceptedAt > 1_100, {
      what: 'the interval is over',
    });
    broker = await startScriptedBroker(port);
    const connection = await again(true);
    const long = await acknowledgeOne(connection);
    expect(long.payload.toString()).toBe('long');
    expect(long.properties?.messageExpiryInterval).toBeLessThan(100);
    expect(long.properties?.messageExpiryInterval).toBeGreaterThan(80);
    expect(await until(look, { what: 'the outcome' })).toMatchObject({ type: 'no-answer' });
    await acknowledgeOne(connection);
    expect(payloads(connection)).toEqual(['long', 'ever']);
  });

  it('attaches a detached Connection, and stays queued where another client has the ClientID', async () => {
    await attach();
    await bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });
    const id = await queue(['x'], 1);
    const connection = await again(true);
    await connection.next('publish');
    connection.send({ cmd: 'disconnect', reasonCode: 0x8e });
    connection.drop();
    await until(async () => (await bridge.getConnection('a')).state === 'takenOver', { what: 'takenOver' });
    expect((await bridge.getPublication(id)).results).toEqual([null]);
    const attaching = bridge.attachConnection('a');
    const next = await again(true);
    await attaching;
    await acknowledgeOne(next);
    expect(await done(id)).toMatchObject([{ qos: 1 }]);
  });

  it('the outcomes that are kept have limits: more is refused, and nothing of it is sent', async () => {
    const connection = await attach();
    bridge.store.publications.begin = async () => 'full';
    const full = await keyed(1);
    expect(full).toMatchObject({ type: 'overloaded', status: 503 });
    expect(String(full)).toContain('100000 publishes');
    expect(published(connection)).toEqual([]);
  });

  it('the outbox has limits: more is refused, and nothing of it is queued', async () => {
    await attach();
    await broker.stop();
    await until(async () => (await bridge.getConnection('a')).state === 'offline', { what: 'offline' });
    const thousand = Array.from({ length: 1_000 }, () => 'x');
    for (let batch = 0; batch < 10; batch += 1) await queue(thousand, 0);
    const full = await publish(request([message('t', 'one more')], { respondAsync: true, idempotencyKey: 'k' }));
    expect(full).toMatchObject({ type: 'overloaded', status: 503 });
    expect(String(full)).toContain('outbox');
    expect(
      await publish(request([message('t', 'one more')], { respondAsync: true, idempotencyKey: 'k' })),
    ).toBeInstanceOf(Problem);
  });

  it('DELETE discards the outbox', async () => {
    await attach();
    await broker.stop();
    await until(async () => (await bridge.getConnection('a')).state === 'offline', { what: 'offline' });
    const id = await queue(['x']);
    await bridge.deleteConnection('a', { session: 'keep', will: null });
    await expect(bridge.getPublication(id)).rejects.toMatchObject({ type: 'publish-not-found' });
  });

  it.each(['', 'nonsense', Buffer.from('key.unknown').toString('base64url')])('%j is not a publishId', async (id) => {
    await expect(bridge.getPublication(id)).rejects.toMatchObject({ type: 'publish-not-found', status: 404 });
  });

  it('on a parked Connection: the store knows that somebody is to attach it before the caller does', async () => {
    await bridge.end();
    bridge = await createTestBridge({ url: broker.url, poolMax: 1 });
    const first = await attach();
    const opening = bridge.openConnection(valid({ id: 'b', sessionExpiryInterval: 3600 }));
    await first.next('disconnect');
    await (await broker.nextConnection()).accept();
    await opening;
    expect(await bridge.getConnection('a')).toMatchObject({ state: 'parked', owner: null });
    const id = await queue(['x']);
    const key = (await bridge.store.connections.byId('a'))?.key ?? ('' as Key);
    expect((await bridge.store.inbound.loadSession(key))?.status).toMatchObject({ state: 'connecting', wanted: true });
    await acknowledge(await again(true), 1);
    expect(await done(id)).toMatchObject([{ qos: 1 }]);
  });

  it('a Connection to a broker that was never reached queues too, and a restart goes on with it', async () => {
    const { store } = bridge;
    const port = await freePort();
    const away = await createTestBridge({ url: `mqtt://127.0.0.1:${port}`, store });
    await away.declareConnection('a', valid({ id: 'a', connectTimeout: 1 }));
    bridge = away;
    const id = await queue(['1', '2'], 1);
    await away.stop();
    const late = await startScriptedBroker(port);
    bridge = await createTestBridge({ url: late.url, store });
    await bridge.start();
    const connection = await late.nextConnection(10_000);
    await connection.accept();
    await acknowledge(connection, 2);
    expect(await done(id)).toHaveLength(2);
    expect(payloads(connection)).toEqual(['1', '2']);
    await late.stop();
  });
});

describe('when the lease goes to another instance', () => {
  it('QoS 2: what waits here is sent there, once, and not again when the lease comes back', async () => {
    await bridge.end();
    const store = openSqliteStore({ path: ':memory:' });
    const instance = (nodeId: string) => createTestBridge({ url: broker.url, store, nodeId, leaseTtlMs: 1_000 });
    bridge = await instance('one');
    await bridge.start();
    const first = await attach({}, { properties: { receiveMaximum: 1 } });
    const id = await queue(['1', '2', '3'], 2);
    await first.next('publish');
    const waiting = keyed(2);
    const key = (await store.connections.byId('a'))?.key ?? ('' as Key);
    await until(() => store.publications.find(key, { idempotencyKey: 'k' }), { what: 'it is recorded' });

    const lease = await store.leases.acquire(key, { nodeId: 'one', process: '1' }, 1_000);
    if ('heldBy' in lease) throw new Error('it is held by another');
    await store.leases.release(lease);
    const one = bridge;
    bridge = await instance('two');
    await bridge.start();
    const second = await again(true);
    const { messageId = 0, dup } = await second.next('publish');
    expect(dup).toBe(true);
    await exchange(second, messageId);
    // What waited at the first goes on to whoever owns it.
    await acknowledge(second, 3);
    expect(await done(id)).toHaveLength(3);
    expect(resultsOf(await waiting)).toMatchObject([{ qos: 2 }]);
    expect(await keyed(2)).toMatchObject({ replayed: true, results: [{ qos: 2 }] });

    // Either of the two took the lease; now it is the first one.
    const { owner } = await one.getConnection('a');
    const stopping = bridge.stop();
    bridge = one;
    const third = owner === 'two' ? await again(true) : second;
    await stopping;
    const last = publish(request([message('out/a', 'last', 1)], { idempotencyKey: 'last' }));
    await acknowledgeOne(third);
    expect(resultsOf(await last)).toMatchObject([{ qos: 1 }]);
    expect(await keyed(2)).toMatchObject({ replayed: true, results: [{ qos: 2 }] });
    expect(payloads(first)).toEqual(['1']);
    const after = [...new Set([second, third])].flatMap(payloads);
    expect(after.slice(0, 4).toSorted()).toEqual(['1', '2', '3', 'at 2']);
    expect(after.slice(4)).toEqual(['last']);
  });

  it('and comes back at once: what another may have sent is given up, or asked of the store again', async () => {
    await bridge.end();
    const store = openSqliteStore({ path: ':memory:' });
    bridge = await createTestBridge({ url: broker.url, store, nodeId: 'one', leaseTtlMs: 1_000 });
    await bridge.start();
    const first = await attach({}, { properties: { receiveMaximum: 1 } });
    const id = await queue(['1', '2', '3'], 1);
    await first.next('publish');
    const waiting = keyed(2);
    const key = (await store.connections.byId('a'))?.key ?? ('' as Key);
    await until(() => store.publications.find(key, { idempotencyKey: 'k' }), { what: 'it is recorded' });

    for (const holder of ['one', 'two']) {
      const lease = await store.leases.acquire(key, { nodeId: holder, process: '1' }, 1_000);
      if ('heldBy' in lease) throw new Error('it is held by another');
      // As the other would: it has sent the first one.
      const item = (await store.publications.outbox(key, 0, 1))[0]?.item;
      if (holder === 'two' && item !== undefined)
        await store.publications.settle(lease, [{ item, outcome: '{"qos":1}' }]);
      await store.leases.release(lease);
    }
    const second = await again(true);
    await acknowledge(second, 3);
    expect(await done(id)).toHaveLength(3);
    expect(resultsOf(await waiting)).toMatchObject([{ qos: 2 }]);
    expect(payloads(second).toSorted()).toEqual(['2', '3', 'at 2']);
  });
});
