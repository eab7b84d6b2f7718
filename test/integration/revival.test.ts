import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Inbound, type Store, StoreUnavailable } from '../../src/bridge/ports.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type ScriptedBroker, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

describe('a start with a store that fails', () => {
  let broker: ScriptedBroker;
  let store: Store;
  let bridge: TestBridge;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    store = await openSqliteStore({ path: ':memory:' });
    const before = await createTestBridge({ url: broker.url, store });
    const opening = before.declareConnection('a', valid({ id: 'a', sessionExpiryInterval: 600 }));
    await (await broker.nextConnection()).accept();
    await opening;
    await before.stop();
  });
  afterEach(async () => {
    await broker.stop();
    await bridge.end();
  });

  /** Starts over the store, of which the given reads of a session (counted from 0) fail. */
  async function startWith(fails: (read: number) => boolean): Promise<{ reads: () => number }> {
    let reads = 0;
    const inbound: Inbound = {
      loadSession: async (key) => {
        if (fails(reads++)) throw new StoreUnavailable('the test says so');
        return store.inbound.loadSession(key);
      },
      saveStatus: (...args) => store.inbound.saveStatus(...args),
      beginGeneration: (...args) => store.inbound.beginGeneration(...args),
      append: (...args) => store.inbound.append(...args),
    };
    bridge = await createTestBridge({
      url: broker.url,
      store: { ...store, inbound },
    });
    await bridge.start();
    return { reads: () => reads };
  }

  it('loads a Connection once the store answers again, and attaches it', async () => {
    const { reads } = await startWith((read) => read === 1 || read === 2);
    await (await broker.nextConnection()).accept({ sessionPresent: true });
    await until(async () => (await bridge.getConnection('a')).state === 'online', { what: 'online' });
    expect(reads()).toBeGreaterThan(3);
  });

  it('stops trying when it is stopped', async () => {
    const { reads } = await startWith((read) => read > 0);
    await until(() => reads() > 1, { what: 'an attempt to load' });
    await bridge.stop();
    expect(broker.connections).toHaveLength(1);
  });

  it('rejects when it cannot tell what is due', async () => {
    store.schedule.take = () => Promise.reject(new StoreUnavailable('the test says so'));
    await expect(startWith(() => false)).rejects.toThrow(StoreUnavailable);
  });
});
