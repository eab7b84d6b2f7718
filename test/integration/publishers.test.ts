import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeptAnswer, KeptRequest, PublishResult } from '../../src/bridge/facade.ts';
import { Problem } from '../../src/errors/problem.ts';
import type { QoS } from '../../src/mqtt/message.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { freePort } from '../helpers/ports.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const BROKER = 'default';

let broker: ScriptedBroker;
let bridge: TestBridge;

beforeEach(async () => {
  broker = await startScriptedBroker();
  bridge = await createTestBridge({ url: broker.url });
  await bridge.start();
});
afterEach(async () => {
  await broker.stop();
  await bridge.end();
});

async function publish(qos: QoS = 1, timeoutMs = 5_000): Promise<PublishResult> {
  const [result] = await bridge.publishPooled(BROKER, [{ message: message('pool/a', `at ${qos}`, qos), timeoutMs }]);
  if (result === undefined) throw new Error('there is no result');
  return result;
}

function kept(idempotencyKey: string | null, more: Partial<KeptRequest> = {}, qos: QoS = 2): Promise<KeptAnswer> {
  const items = [{ message: message('pool/a', 'kept', qos), timeoutMs: 5_000 }];
  const request = { items, batch: false, respondAsync: false, idempotencyKey, fingerprint: 'f', ...more };
  return bridge.publishPooledKept(BROKER, request);
}

async function accept(connack: Parameters<ScriptedConnection['accept']>[0] = {}): Promise<ScriptedConnection> {
  const connection = await broker.nextConnection(10_000);
  await connection.accept(connack);
  return connection;
}

async function acknowledge(connection: ScriptedConnection): Promise<void> {
  const { qos, messageId = 0 } = await connection.next('publish');
  if (qos === 1) connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
  if (qos === 2) await exchange(connection, messageId);
}

async function exchange(connection: ScriptedConnection, messageId: number): Promise<void> {
  connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
  await connection.next('pubrel');
  connection.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
}

/** Resolves when nobody owns the first home slot any more. */
async function givenBack(): Promise<void> {
  const isFree = async () => {
    const record = await bridge.store.connections.byId('$bridge/publisher/default/home.0');
    return record !== null && (await bridge.store.leases.holder(record.key)) === null;
  };
  await until(isFree, { what: 'the lease is given back' });
}

const clientIds = () => broker.connections.map(({ connect }) => connect?.clientId);

describe('a publisher', () => {
  it('has a random ClientID and a session of a day, and connects once for all who ask at the same time', async () => {
    const outcomes = [publish(), publish(), publish()];
    const connection = await broker.nextConnection();
    expect(await connection.accept()).toMatchObject({
      clientId: expect.stringMatching(/^[0-9A-Za-z]{22}$/),
      clean: false,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 86_400 },
    });
    for (const _ of outcomes) await acknowledge(connection);
    expect(await Promise.all(outcomes)).toMatchObject([{ qos: 1 }, { qos: 1 }, { qos: 1 }]);
    expect(broker.connections).toHaveLength(1);
  });

  it('connects again for what was sent and not acknowledged', async () => {
    const outcome = publish();
    const first = await accept();
    await first.next('publish');
    first.drop();
    await acknowledge(await accept({ sessionPresent: true }));
    expect(await outcome).toMatchObject({ qos: 1, reasonCode: 0 });
    expect(new Set(clientIds()).size).toBe(1);
  });

  it('finishes a QoS 2 exchange in the session that it began in', async () => {
    const outcome = publish(2);
    const first = await accept();
    const { messageId = 0 } = await first.next('publish');
    first.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
    await first.next('pubrel');
    first.drop();
    const second = await accept({ sessionPresent: true });
    expect(await second.next('pubrel')).toMatchObject({ messageId });
    second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 });
    expect(await outcome).toMatchObject({ qos: 2, reasonCode: 0 });
  });

  it('the broker lost the session: the outcome of QoS 2 is unknown', async () => {
    const outcome = publish(2);
    const first = await accept();
    await first.next('publish');
    first.drop();
    const second = await accept({ sessionPresent: false });
    expect(await outcome).toMatchObject({ type: 'outcome-unknown', status: 504 });
    expect(second.received.some(({ cmd }) => cmd === 'publish')).toBe(false);
  });

  it('tries again while somebody waits, soon, one attempt after the other', async () => {
    const outcomes = [publish(1, 10_000), publish(1, 10_000)];
    for (let attempt = 0; attempt < 4; attempt += 1) (await broker.nextConnection(3_000)).drop();
    outcomes.push(publish());
    const connection = await broker.nextConnection(3_000);
    await connection.accept();
    for (const _ of outcomes) await acknowledge(connection);
    expect(await Promise.all(outcomes)).toMatchObject([{ qos: 1 }, { qos: 1 }, { qos: 1 }]);
    expect(broker.connections).toHaveLength(5);
  });

  it('does not connect again when nobody waits, and gives its slot back', async () => {
    const first = publish();
    const connection = await accept();
    await acknowledge(connection);
    await first;
    connection.drop();
    await givenBack();
    expect(broker.connections).toHaveLength(1);
    const second = publish();
    await acknowledge(await accept({ sessionPresent: true }));
    expect(await second).toMatchObject({ qos: 1 });
    expect(new Set(clientIds()).size).toBe(1);
  });

  it('closes that look like a take-over are none: it goes on', async () => {
    const outcome = publish(1, 20_000);
    for (let close = 0; close < 6; close += 1) (await accept({ sessionPresent: true })).drop();
    await acknowledge(await accept({ sessionPresent: true }));
    expect(await outcome).toMatchObject({ qos: 1 });
  }, 30_000);

  it.each([
    [0x84, 'Unsupported Protocol Version'],
    [0x01, "3.1.1's own code"],
  ])('speaks 3.1.1 where the broker answers CONNACK 0x%s, and takes what waits along', async (reasonCode) => {
    const outcome = publish();
    await accept({ reasonCode });
    const connection = await broker.nextConnection();
    expect(await connection.accept()).toMatchObject({ protocolVersion: 4, clean: false });
    await acknowledge(connection);
    expect(await outcome).toMatchObject({ qos: 1, reasonCode: 0 });
    expect(new Set(clientIds()).size).toBe(1);

    // A broker that changes its mind is asked in 5.0 again.
    connection.drop();
    await givenBack();
    const next = publish();
    await accept({ returnCode: 0x01 });
    expect(await next).toMatchObject({ type: 'broker-refused' });
    const last = publish();
    const renewed = await broker.nextConnection();
    expect(await renewed.accept()).toMatchObject({ protocolVersion: 5 });
    await acknowledge(renewed);
    expect(await last).toMatchObject({ qos: 1 });
  });

  it('a broker that refuses: whoever waits is told, and the next is tried anew', async () => {
    const outcome = publish();
    await accept({ reasonCode: 0x87 });
    expect(await outcome).toMatchObject({ type: 'broker-refused', status: 422, details: { reasonCode: 0x87 } });
    const next = publish();
    await acknowledge(await accept());
    expect(await next).toMatchObject({ qos: 1 });
  });

  it('a broker that refuses is not asked again when nobody waits', async () => {
    const outcome = publish();
    await accept({ reasonCode: 0x86 });
    expect(await outcome).toMatchObject({ type: 'broker-refused' });
    await givenBack();
    expect(broker.connections).toHaveLength(1);
  });

  it('a broker that cannot be reached: 502 at the deadline', async () => {
    await broker.stop();
    expect(await publish(1, 300)).toMatchObject({ type: 'broker-unreachable', status: 502 });
    broker = await startScriptedBroker(broker.port);
    const outcome = publish();
    await acknowledge(await accept());
    expect(await outcome).toMatchObject({ qos: 1 });
  });

  it('a broker that keeps no session serves as well', async () => {
    const outcome = publish(2);
    const connection = await accept({ properties: { sessionExpiryInterval: 0 } });
    await acknowledge(connection);
    expect(await outcome).toMatchObject({ qos: 2, reasonCode: 0 });
  });

  it('gives up at a stop: everybody has an answer, and nothing connects any more', async () => {
    const waiting = publish();
    const attempt = await broker.nextConnection();
    await bridge.stop();
    await attempt.closed;
    expect(await waiting).toMatchObject({ type: 'shutting-down' });
    await expect(publish(0)).rejects.toMatchObject({ type: 'shutting-down' });
    expect(broker.connections).toHaveLength(1);
  });

  it('belongs to no caller: it is not listed, and cannot be named', async () => {
    const outcome = publish();
    await acknowledge(await accept());
    await outcome;
    const id = '$bridge/publisher/default/home.0';
    expect(await bridge.store.connections.byId(id)).not.toBeNull();
    expect(await bridge.listConnections({ state: null, limit: 10, after: null })).toEqual({
      connections: [],
      next: null,
    });
    const uses = [
      () => bridge.getConnection(id),
      () => bridge.patchConnection(id, {}),
      () => bridge.attachConnection(id),
      () => bridge.detachConnection(id, { sessionExpiryInterval: null, will: null }),
      () => bridge.deleteConnection(id, { session: 'keep', will: null }),
      () => bridge.publish(id, [{ message: message('t', 'x'), timeoutMs: 1_000 }]),
      () => bridge.listSubscriptions(id),
    ];
    for (const use of uses) await expect(use()).rejects.toMatchObject({ type: 'connection-not-found' });
  });

  it('is not made for a broker that there is not', async () => {
    const requests = [{ message: message('t', 'x'), timeoutMs: 1_000 }];
    const wrong = { type: 'invalid-request', details: { errors: [{ pointer: '?broker' }] } };
    await expect(bridge.publishPooled('other', requests)).rejects.toMatchObject(wrong);
  });
});

describe('publishes whose outcome is kept', () => {
  it('a repeat with the same key is answered with the outcome of the first', async () => {
    const first = kept('k');
    await acknowledge(await accept());
    expect(await first).toMatchObject({ replayed: false, results: [{ qos: 2, reasonCode: 0 }] });
    expect(await kept('k')).toMatchObject({ replayed: true, results: [{ qos: 2, reasonCode: 0 }] });
    await expect(kept('k', { fingerprint: 'other' })).rejects.toMatchObject({ type: 'idempotency-key-reused' });
    expect(broker.connections).toHaveLength(1);
  });

  it('one that still runs is told', async () => {
    const first = kept('k');
    const connection = await accept();
    const { messageId = 0 } = await connection.next('publish');
    await expect(kept('k')).rejects.toMatchObject({ type: 'still-running', status: 409 });
    await exchange(connection, messageId);
    expect(await first).toMatchObject({ results: [{ qos: 2 }] });
  });

  it('with its session lost the outcome is unknown, for every repeat', async () => {
    const first = kept('k');
    const connection = await accept();
    await connection.next('publish');
    connection.drop();
    await accept({ sessionPresent: false });
    expect(await first).toMatchObject({ results: [{ type: 'outcome-unknown' }] });
    const decided = async () => {
      const answer = await kept('k').catch((problem: Problem) => problem);
      return answer instanceof Problem ? null : answer;
    };
    expect(await until(decided, { what: 'it is decided' })).toMatchObject({
      replayed: true,
      results: [{ type: 'outcome-unknown' }],
    });
  });

  it.each(['k', null])(
    'queued with the key %s: sent when the broker is there, and the outcome is found',
    async (key) => {
      await broker.stop();
      const answer = await kept(key, { respondAsync: true });
      if (!('publishId' in answer)) throw new Error('it was not queued');
      expect((await bridge.getPublication(answer.publishId)).results).toEqual([null]);
      broker = await startScriptedBroker(broker.port);
      await acknowledge(await accept());
      const results = await until(
        async () => {
          const view = await bridge.getPublication(answer.publishId);
          return view.results.includes(null) ? null : view.results;
        },
        { what: 'done' },
      );
      expect(results).toMatchObject([{ qos: 2, reasonCode: 0 }]);
    },
  );

  it('a stop leaves what was queued to the next process', async () => {
    await bridge.end();
    const store = await openSqliteStore({ path: ':memory:' });
    const port = await freePort();
    bridge = await createTestBridge({ url: `mqtt://127.0.0.1:${port}`, store });
    await bridge.start();
    const answer = await kept(null, { respondAsync: true });
    await bridge.stop();
    const late = await startScriptedBroker(port);
    try {
      bridge = await createTestBridge({ url: late.url, store });
      await bridge.start();
      const connection = await late.nextConnection(10_000);
      await connection.accept();
      await acknowledge(connection);
      const { publishId } = answer as { publishId: string };
      await until(async () => !(await bridge.getPublication(publishId)).results.includes(null), { what: 'done' });
      // Nothing is left to do: it is parked.
      await connection.next('disconnect', undefined, 10_000);
    } finally {
      await late.stop();
    }
  });
});

describe('beside the Connections of callers', () => {
  it('one in use is not parked to make room, and an idle one is', async () => {
    await bridge.end();
    bridge = await createTestBridge({ url: broker.url, poolMax: 1 });
    await bridge.start();
    const first = publish(2);
    const publisher = await accept();
    const { messageId = 0 } = await publisher.next('publish');
    const document = valid({ id: 'a', sessionExpiryInterval: 3600 });
    await expect(bridge.openConnection(document)).rejects.toMatchObject({ type: 'overloaded' });
    await exchange(publisher, messageId);
    await first;
    const idle = async () => {
      const opening = bridge.openConnection(document);
      const refused = opening.then(
        () => false,
        () => true,
      );
      const parked = publisher.next('disconnect').then(() => false);
      return (await Promise.race([refused, parked])) ? null : opening;
    };
    const opened = until(idle, { what: 'the publisher is parked' });
    const connection = await accept();
    expect(connection.connect?.clientId).toBe('a');
    expect(await opened).toMatchObject({ created: true });
  });
});
