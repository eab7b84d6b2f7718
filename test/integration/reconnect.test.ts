import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../../src/bridge/ports.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type HoldingBroker, startHoldingBroker } from '../helpers/holding-broker.ts';
import { failureOf } from '../helpers/outcome.ts';
import { until } from '../helpers/until.ts';

const MANY = 300;
/** Connections that are attached at the same time at one broker: docs/operations.md. */
const AT_ONCE = 100;
/** Longer than a first back-off: by then all want to come back. */
const ALL_ARE_BACK_MS = 1_000;

describe('a broker that comes back to many Connections', () => {
  let broker: HoldingBroker;
  let store: Store;
  let bridge: TestBridge;

  beforeEach(async () => {
    broker = await startHoldingBroker();
    store = await openSqliteStore({ path: ':memory:' });
    bridge = await createTestBridge({ url: broker.url, store });
    await Promise.all(Array.from({ length: MANY }, (_, index) => declare(`c${index}`)));
  });
  afterEach(async () => {
    await bridge.end();
    await broker.stop();
  });

  function declare(id: string) {
    const document = { id, sessionExpiryInterval: 600, connectTimeout: 60 };
    return bridge.declareConnection(id, valid(document));
  }
  /** A first lot of handshakes is under way, and the others had their time to come too. */
  async function untilHeld(): Promise<void> {
    await until(() => broker.handshakes === AT_ONCE, { what: `${AT_ONCE} handshakes under way` });
    await delay(ALL_ARE_BACK_MS);
    expect(broker.handshakes).toBe(AT_ONCE);
  }
  async function expectAllBack(): Promise<void> {
    await until(() => broker.clients === MANY, { what: 'all are back', within: 20_000 });
    expect(broker.mostHandshakes).toBe(AT_ONCE);
    // Each had one turn: nobody was sent to the end of the line again.
    expect(broker.connects).toHaveLength(MANY);
    expect(new Set(broker.connects).size).toBe(MANY);
  }

  it('meets a bounded number of handshakes at once, and all of them in the end', async () => {
    expect(broker.clients).toBe(MANY);
    broker.hold();
    broker.drop();
    await untilHeld();
    broker.release(20);
    await expectAllBack();
  });

  it('so it is when the bridge starts', async () => {
    broker.hold();
    await bridge.stop();
    broker.drop();
    bridge = await createTestBridge({ url: broker.url, store });
    await bridge.start();
    await untilHeld();
    broker.release(20);
    await expectAllBack();
  });

  it('so it is when a script changes all of them', async () => {
    const changing = Array.from({ length: MANY }, (_, index) => bridge.patchConnection(`c${index}`, { keepAlive: 33 }));
    broker.hold();
    await untilHeld();
    broker.release(20);
    for (const { state } of await Promise.all(changing)) expect(state).toBe('online');
    expect(broker.mostHandshakes).toBe(AT_ONCE);
    expect(broker.clients).toBe(MANY);
  });

  it('holds up neither another broker, nor changes, nor the end of those that wait', async () => {
    broker.hold();
    broker.drop();
    await untilHeld();

    const other = await startHoldingBroker();
    try {
      const opened = await bridge.openConnection(valid({ id: 'elsewhere', url: other.url }));
      expect(opened.connection.state).toBe('online');
    } finally {
      await other.stop();
    }
    const inLine = `c${Array.from({ length: MANY }, (_, index) => index).find(
      (index) => !broker.connects.includes(`c${index}`),
    )}`;
    expect(await bridge.patchConnection(inLine, { queue: { maxMessages: 5 } })).toMatchObject({ state: 'offline' });
    expect(await bridge.detachConnection(inLine, { sessionExpiryInterval: null, will: null })).toMatchObject({
      state: 'parked',
    });
    broker.release();
    await until(() => broker.clients === MANY - 1, { what: 'all but one are back' });
    expect(broker.connects).not.toContain(inLine);
  });

  it('a request that waits in line is answered in bounded time', async () => {
    broker.hold();
    broker.drop();
    await untilHeld();
    const document = valid({ id: 'new', sessionExpiryInterval: 600, connectTimeout: 1 });
    const { error, ms } = await failureOf(bridge.openConnection(document));
    expect(error).toMatchObject({ type: 'no-answer', status: 504 });
    expect(ms).toBeLessThan(4_000);
    await expect(bridge.getConnection('new')).rejects.toMatchObject({ type: 'connection-not-found' });
    expect(broker.connects).not.toContain('new');
  });
});
