import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../../src/bridge/ports.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

/** DELETE, when the session has to be discarded by a connection of its own. */

const DOCUMENT = { id: 'a', sessionExpiryInterval: 600, connectTimeout: 60, username: 'u', password: 'right' };
const DISCARD = { session: 'discard', will: null } as const;
const KEEP = { session: 'keep', will: null } as const;

let broker: ScriptedBroker;
let store: Store;
let bridge: TestBridge;

beforeEach(async () => {
  broker = await startScriptedBroker();
  store = await openSqliteStore({ path: ':memory:' });
  bridge = await createTestBridge({ url: broker.url, store });
});
afterEach(async () => {
  await bridge.end();
  await broker.stop();
});

async function declare(document: object = DOCUMENT): Promise<ScriptedConnection> {
  const opening = bridge.declareConnection('a', valid(document));
  const connection = await broker.nextConnection();
  await connection.accept();
  await opening;
  return connection;
}
/** A Connection whose session is at the broker, and that is not attached. */
async function declareParked(document: object = DOCUMENT): Promise<void> {
  await declare(document);
  await bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });
}
const records = () => store.connections.list(null, 10);

describe('a broker that refuses for good', () => {
  async function declareRefused(): Promise<void> {
    await declare();
    const patching = bridge.patchConnection('a', { password: 'wrong' });
    await (await broker.nextConnection()).accept({ reasonCode: 0x86 });
    expect(await patching).toMatchObject({ state: 'refused', generation: 1 });
  }

  it('a refused Connection is deleted: the session is left to expire, and the password is not sent again', async () => {
    await declareRefused();
    const deleting = bridge.deleteConnection('a', DISCARD);
    expect(await (await broker.nextConnection()).accept({ reasonCode: 0x86 })).toMatchObject({ clean: true });
    expect(await deleting).toBe('deleted');
    expect(await records()).toEqual([]);
    await expect(broker.nextConnection(2_000)).rejects.toThrow('not within');

    // The id and the ClientID are free.
    const opening = bridge.openConnection(valid({ ...DOCUMENT, id: 'b', clientId: 'a' }));
    await (await broker.nextConnection()).accept();
    expect(await opening).toMatchObject({ created: true, connection: { generation: 1 } });
  });

  it('ends a deletion that had waited for it', async () => {
    await declareParked();
    const deleting = bridge.deleteConnection('a', DISCARD);
    (await broker.nextConnection()).drop();
    expect(await deleting).toBe('pending');
    await (await broker.nextConnection()).accept({ reasonCode: 0x87 });
    await until(async () => (await records()).length === 0, { what: 'the record is gone' });
    await expect(broker.nextConnection(2_000)).rejects.toThrow('not within');
  });
});

describe('a deletion that waits', () => {
  async function declarePending(): Promise<void> {
    await declareParked();
    const deleting = bridge.deleteConnection('a', DISCARD);
    (await broker.nextConnection()).drop();
    expect(await deleting).toBe('pending');
  }

  it('is tried again, with pauses, while the broker only cannot now', async () => {
    await declarePending();
    for (let failure = 0; failure < 3; failure += 1) await (await broker.nextConnection()).accept({ reasonCode: 0x88 });
    const discarding = await broker.nextConnection(10_000);
    expect(await discarding.accept()).toMatchObject({ clean: true, properties: { sessionExpiryInterval: 0 } });
    await until(async () => (await records()).length === 0, { what: 'the record is gone' });
    expect(broker.connections).toHaveLength(6);
  });

  it('is finished by `session=keep`, while an attempt is under way too', async () => {
    await declarePending();
    const attempt = await broker.nextConnection();
    await attempt.next('connect');
    const startedAt = Date.now();
    expect(await bridge.deleteConnection('a', KEEP)).toBe('deleted');
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    expect(await records()).toEqual([]);
    await attempt.closed;
    await expect(bridge.deleteConnection('a', KEEP)).rejects.toMatchObject({ type: 'connection-not-found' });
    await expect(broker.nextConnection(2_000)).rejects.toThrow('not within');
    await declare();
  });

  it('is not there for any other request', async () => {
    await declarePending();
    await expect(bridge.deleteConnection('a', DISCARD)).rejects.toMatchObject({ type: 'connection-not-found' });
    await expect(bridge.getConnection('a')).rejects.toMatchObject({ type: 'connection-not-found' });
  });

  it('does not hold up those at another broker', async () => {
    const other = await startScriptedBroker();
    try {
      await declarePending();
      const opening = bridge.openConnection(valid({ ...DOCUMENT, id: 'b', url: other.url }));
      await (await other.nextConnection()).accept();
      await opening;
      await bridge.detachConnection('b', { sessionExpiryInterval: null, will: null });
      const deleting = bridge.deleteConnection('b', DISCARD);
      (await other.nextConnection()).drop();
      expect(await deleting).toBe('pending');

      // The first broker says nothing, for as long as `connectTimeout` lasts.
      await (await broker.nextConnection()).next('connect');
      await (await other.nextConnection()).accept();
      await until(async () => (await records()).map(({ id }) => id).join() === 'a', { what: 'only the first waits' });
    } finally {
      await other.stop();
    }
  });

  it('does not hold up a stop', async () => {
    await declarePending();
    await (await broker.nextConnection()).next('connect');
    const startedAt = Date.now();
    await bridge.stop();
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    expect(await records()).toMatchObject([{ deleting: true }]);
  });
});

describe('what the broker keeps no longer is not discarded', () => {
  it('after detach with expiry 0', async () => {
    await declare();
    await bridge.detachConnection('a', { sessionExpiryInterval: 0, will: null });
    expect(await bridge.deleteConnection('a', DISCARD)).toBe('deleted');
    expect(broker.connections).toHaveLength(1);
  });

  it('when the broker had set the expiry to 0', async () => {
    const opening = bridge.declareConnection('a', valid(DOCUMENT));
    await (await broker.nextConnection()).accept({ properties: { sessionExpiryInterval: 0 } });
    await opening;
    await bridge.detachConnection('a', { sessionExpiryInterval: null, will: null });
    expect(await bridge.deleteConnection('a', DISCARD)).toBe('deleted');
    expect(broker.connections).toHaveLength(1);
  });

  it('but one whose expiry is to be 0 only from the next CONNECT on is', async () => {
    await declareParked();
    await bridge.patchConnection('a', { sessionExpiryInterval: 0 });
    const deleting = bridge.deleteConnection('a', DISCARD);
    expect(await (await broker.nextConnection()).accept()).toMatchObject({ clean: true });
    expect(await deleting).toBe('deleted');
  });

  it('and one that the broker keeps longer than was asked for is', async () => {
    const opening = bridge.declareConnection('a', valid({ id: 'a' }));
    const connection = await broker.nextConnection();
    await connection.accept({ properties: { sessionExpiryInterval: 300 } });
    await opening;
    const deleting = bridge.deleteConnection('a', DISCARD);
    expect(await connection.next('disconnect')).toMatchObject({ properties: { sessionExpiryInterval: 0 } });
    expect(await deleting).toBe('deleted');
  });
});
