import { type Store, StoreUnavailable } from '../../src/bridge/ports.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';

export interface GatedStore {
  store: Store;
  /** Calls that wait, in their order. */
  gates: { pass: () => void; fail: () => void }[];
  /** Lets through what waits, and all that comes. */
  open(): void;
}

/** A store in memory, one verb of which waits until the test lets it through, or makes it fail. */
export async function openGatedStore(verb: 'append' | 'begin'): Promise<GatedStore> {
  const store = await openSqliteStore({ path: ':memory:' });
  const gates: GatedStore['gates'] = [];
  let gated = true;
  const gate = async (asked: typeof verb) => {
    if (!gated || asked !== verb) return;
    await new Promise<void>((pass, reject) => {
      gates.push({ pass, fail: () => reject(new StoreUnavailable('the test says so')) });
    });
  };
  const { inbound, exchanges } = store;
  return {
    gates,
    store: {
      ...store,
      inbound: {
        loadSession: (key) => inbound.loadSession(key),
        saveStatus: (...args) => inbound.saveStatus(...args),
        beginGeneration: (...args) => inbound.beginGeneration(...args),
        append: (...args) => gate('append').then(() => inbound.append(...args)),
      },
      exchanges: {
        begin: (...args) => gate('begin').then(() => exchanges.begin(...args)),
        release: (...args) => exchanges.release(...args),
        finish: (...args) => exchanges.finish(...args),
        load: (...args) => exchanges.load(...args),
      },
    },
    open() {
      gated = false;
      for (const { pass } of gates.splice(0)) pass();
    },
  };
}
