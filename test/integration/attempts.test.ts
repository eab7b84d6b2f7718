import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

/** Requests while an attempt to attach is under way, at a broker that says nothing. */

const DOCUMENT = { id: 'a', sessionExpiryInterval: 600, connectTimeout: 120 };
/** Far below `connectTimeout`; an attempt that is interrupted takes up to a second to end. */
const AT_ONCE_MS = 3_000;

let broker: ScriptedBroker;
let bridge: TestBridge;

beforeEach(async () => {
  broker = await startScriptedBroker();
  bridge = await createTestBridge({ url: broker.url });
});
afterEach(async () => {
  await bridge.end();
  await broker.stop();
});

const view = () => bridge.getConnection('a');
const detach = () => bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });

/** Declares, with the attempt under way. */
async function attempting(document: object = {}): Promise<{
  opening: ReturnType<TestBridge['declareConnection']>;
  connection: ScriptedConnection;
}> {
  const opening = bridge.declareConnection('a', valid({ ...DOCUMENT, ...document }));
  const connection = await broker.nextConnection();
  await connection.next('connect');
  return { opening, connection };
}
function accept(connection: ScriptedConnection): void {
  connection.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0 });
}
async function grant(connection: ScriptedConnection): Promise<string[]> {
  const { messageId = 0, subscriptions } = await connection.next('subscribe');
  connection.send({ cmd: 'suback', messageId, granted: subscriptions.map(({ qos }) => qos) });
  return subscriptions.map(({ topic }) => topic);
}

describe('what needs no network connection does not wait for an attempt', () => {
  it.each([
    ['a PATCH of the queue', () => bridge.patchConnection('a', { queue: { maxMessages: 5 } })],
    ['a PATCH of onTakeover', () => bridge.patchConnection('a', { onTakeover: 'reclaim' })],
    ['a new subscription', () => bridge.addSubscriptions('a', [{ filter: 'x', qos: 1 }])],
    ['a subscription that ends', () => bridge.removeSubscription('a', 'there')],
  ])('%s, before CONNACK', async (_what, request) => {
    const { opening, connection } = await attempting({ subscriptions: [{ filter: 'there', qos: 0 }] });
    const startedAt = Date.now();
    await request();
    expect(Date.now() - startedAt).toBeLessThan(AT_ONCE_MS);
    expect((await view()).state).toBe('connecting');
    expect(broker.connections).toHaveLength(1);
    accept(connection);
    const wanted = (await bridge.listSubscriptions('a')).map(({ filter }) => filter);
    // The attempt takes the subscriptions as they are by then.
    if (wanted.length > 0) expect(await grant(connection)).toEqual(wanted);
    expect((await opening).connection).toMatchObject({ state: 'online', generation: 1 });
    expect(connection.received.map(({ cmd }) => cmd)).not.toContain('disconnect');
  });

  it('a PATCH of the queue, before SUBACK', async () => {
    const { opening, connection } = await attempting({ subscriptions: [{ filter: 'x', qos: 0 }] });
    accept(connection);
    const { messageId = 0 } = await connection.next('subscribe');
    const startedAt = Date.now();
    await bridge.patchConnection('a', { queue: { maxMessages: 5 } });
    expect(Date.now() - startedAt).toBeLessThan(AT_ONCE_MS);
    connection.send({ cmd: 'suback', messageId, granted: [0] });
    expect((await opening).connection.state).toBe('online');
  });

  it('a subscription that is added before SUBACK is asked for after it', async () => {
    const { opening, connection } = await attempting({ subscriptions: [{ filter: 'x', qos: 0 }] });
    accept(connection);
    const { messageId = 0 } = await connection.next('subscribe');
    const adding = bridge.addSubscriptions('a', [{ filter: 'y', qos: 1 }]);
    connection.send({ cmd: 'suback', messageId, granted: [0] });
    expect(await grant(connection)).toEqual(['y']);
    expect(await adding).toMatchObject({ applied: true, results: [{ filter: 'y', granted: { qos: 1 } }] });
    await opening;
  });
});

it.each([
  ['the same', {}],
  ['with another queue', { queue: { maxMessages: 5 } }],
])('a PUT, %s, waits for the attempt that is under way, and makes no other', async (_what, change) => {
  const { opening, connection } = await attempting();
  const again = bridge.declareConnection('a', valid({ ...DOCUMENT, ...change }));
  const early = await Promise.race([again, pause(100)]);
  expect(early).toBeUndefined();
  accept(connection);
  expect(await again).toMatchObject({ created: false, connection: { state: 'online', generation: 1 } });
  expect(await opening).toMatchObject({ created: true, connection: { state: 'online', generation: 1 } });
  expect(broker.connections).toHaveLength(1);
});

it('such a PUT answers how the attempt has failed', async () => {
  const { opening, connection } = await attempting();
  const again = bridge.declareConnection('a', valid(DOCUMENT));
  connection.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x87 });
  expect((await again).connection).toMatchObject({ state: 'refused', reason: { code: 'broker-refused' } });
  await opening;
});

describe('what changes the network connection ends an attempt at once', () => {
  it.each([
    ['before CONNACK', () => {}],
    [
      'before SUBACK',
      async (connection: ScriptedConnection) => {
        accept(connection);
        await connection.next('subscribe');
      },
    ],
  ])('detach, %s: who waited is told, and the state is what was asked for', async (_when, advance) => {
    const { opening, connection } = await attempting({ subscriptions: [{ filter: 'x', qos: 0 }] });
    await advance(connection);
    const startedAt = Date.now();
    expect(await detach()).toMatchObject({ state: 'parked', owner: null, reason: { code: 'detached' } });
    expect(Date.now() - startedAt).toBeLessThan(AT_ONCE_MS);
    expect((await opening).connection.state).toBe('parked');
    await connection.next('disconnect');
    expect(broker.connections).toHaveLength(1);
  });

  it('DELETE', async () => {
    const { opening } = await attempting();
    const outcome = opening.catch((problem) => problem);
    expect(await bridge.deleteConnection('a', { session: 'discard', will: null })).toBe('deleted');
    await outcome;
    await expect(view()).rejects.toMatchObject({ type: 'connection-not-found' });
  });

  it('a change that re-attaches: who waited for the attempt before waits for the next, with the new parameters', async () => {
    const { opening, connection } = await attempting({ username: 'u', password: 'old' });
    const patching = bridge.patchConnection('a', { password: 'new' });
    const attaching = bridge.attachConnection('a');
    await connection.next('disconnect');
    const second = await broker.nextConnection();
    expect(await second.accept()).toMatchObject({ password: Buffer.from('new') });
    expect((await opening).connection).toMatchObject({ state: 'online', reason: null });
    expect(await patching).toMatchObject({ state: 'online', reason: null });
    expect(await attaching).toMatchObject({ state: 'online', reason: null });
    expect(broker.connections).toHaveLength(2);
  });

  it('several at a time: all end in the last one', async () => {
    const { opening } = await attempting({ keepAlive: 10 });
    const changes = [20, 30, 40].map((keepAlive) => bridge.patchConnection('a', { keepAlive }));
    const last = await until(() => broker.connections.find(({ connect }) => connect?.keepalive === 40), {
      what: 'CONNECT with the last Keep Alive',
    });
    accept(last);
    for (const { state } of await Promise.all(changes)) expect(state).toBe('online');
    expect((await opening).connection.state).toBe('online');
    expect(broker.connections.at(-1)).toBe(last);
  });

  it('attach after detach is a new attempt, and who waited for the one before gets its outcome', async () => {
    const { opening } = await attempting();
    const first = bridge.attachConnection('a');
    const detaching = detach();
    const second = bridge.attachConnection('a');
    await (await broker.nextConnection()).accept();
    expect(await second).toMatchObject({ state: 'online' });
    expect(await first).toMatchObject({ state: 'online' });
    await Promise.all([opening, detaching]);
    expect(await view()).toMatchObject({ state: 'online', reason: null });
  });

  it('a subscription that waits for its SUBACK while another request re-attaches is made by the next attempt', async () => {
    const { opening, connection } = await attempting();
    accept(connection);
    await opening;
    const adding = bridge.addSubscriptions('a', [{ filter: 'x', qos: 0 }]);
    await connection.next('subscribe');
    const patching = bridge.patchConnection('a', { keepAlive: 7 });
    const second = await broker.nextConnection();
    await second.accept();
    expect(await grant(second)).toEqual(['x']);
    expect(await patching).toMatchObject({ state: 'online' });
    expect(await adding).toMatchObject({ results: [{ filter: 'x' }] });
  });
});

it('a change on a parked Connection does not undo an attach that waits, nor attach by itself', async () => {
  const { opening, connection } = await attempting();
  accept(connection);
  await opening;
  await detach();
  expect(await bridge.patchConnection('a', { keepAlive: 5 })).toMatchObject({ state: 'parked', owner: null });
  const attaching = bridge.attachConnection('a');
  const patching = bridge.patchConnection('a', { keepAlive: 6 });
  const last = await until(() => broker.connections.find(({ connect }) => connect?.keepalive === 6), {
    what: 'CONNECT with the new Keep Alive',
  });
  accept(last);
  expect(await attaching).toMatchObject({ state: 'online' });
  await patching;
});

it('a refused Connection attaches again with new credentials, and a publish is taken then', async () => {
  const { opening, connection } = await attempting({ username: 'u', password: 'wrong' });
  connection.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x86 });
  expect((await opening).connection.state).toBe('refused');
  const patching = bridge.patchConnection('a', { password: 'right' });
  const second = await broker.nextConnection();
  expect(await second.accept()).toMatchObject({ password: Buffer.from('right') });
  expect(await patching).toMatchObject({ state: 'online' });
  const publishing = bridge.publish('a', [{ message: message('t', 'x', 1), timeoutMs: 5_000 }]);
  second.send({ cmd: 'puback', messageId: (await second.next('publish')).messageId ?? 0, reasonCode: 0 });
  expect(await publishing).toMatchObject([{ reasonCode: 0 }]);
});
