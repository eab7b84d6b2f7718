import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Store, StoreUnavailable } from '../../src/bridge/ports.ts';
import { until } from '../helpers/until.ts';
import { describeBus } from './store/bus.ts';
import { describeConcurrency } from './store/concurrency.ts';
import { describeConnections } from './store/connections.ts';
import { describeExchanges } from './store/exchanges.ts';
import { describeFencing } from './store/fencing.ts';
import { newKey, own, type StoreContext } from './store/fixtures.ts';
import { describeInbound } from './store/inbound.ts';
import { describeLeases } from './store/leases.ts';
import { describeLimits } from './store/limits.ts';
import { describeMembers } from './store/members.ts';
import { describeMessages } from './store/messages.ts';
import { describePublications } from './store/publications.ts';
import { describeQueues } from './store/queues.ts';
import { describeReopen } from './store/reopen.ts';
import { describeSchedule } from './store/schedule.ts';

export interface StoreSubject {
  /** A store to test. Called once per suite, and once for each test that closes its store. */
  open(): Store | Promise<Store>;
  /** Another instance on the data of the one that was opened last, where a store can have several. */
  openAnother?(): Store | Promise<Store>;
  /** The data of a store that was opened by `open` and has been closed; absent where nothing outlives `close`. */
  reopen?(closed: Store): Store | Promise<Store>;
  /** Moves the store's clock forward. Without it the suite waits. */
  advanceTime?(ms: number): void | Promise<void>;
}

/** Holds a store against everything that `ports.ts` promises. Keys and names are unique: the data may be shared. */
export function describeStore(name: string, subject: StoreSubject): void {
  describe(name, () => {
    let store: Store;
    let other: Store;
    beforeAll(async () => {
      store = await subject.open();
      other = (await subject.openAnother?.()) ?? store;
    });
    afterAll(async () => {
      await store.close();
      await other.close();
    });

    const context: StoreContext = {
      get store() {
        return store;
      },
      get other() {
        return other;
      },
      async elapse(ms, condition) {
        await subject.advanceTime?.(ms);
        await until(condition, { what: `the condition holds after ${ms} ms`, within: ms + 10_000 });
      },
    };

    describeConnections(context);
    describeLeases(context);
    describeFencing(context);
    describeMembers(context);
    describeBus(context);
    describeSchedule(context);
    describeInbound(context);
    describeMessages(context);
    describeQueues(context);
    describeLimits(context);
    describeExchanges(context);
    describePublications(context);
    describeConcurrency(context);
    const { open, reopen } = subject;
    if (reopen) describeReopen({ open: async () => open(), reopen: async (closed) => reopen(closed) });

    it('answers a ping, until it is closed', async () => {
      const closing = await subject.open();
      await expect(closing.ping()).resolves.toBeUndefined();
      const lease = await own(closing);
      const underWay = closing.inbound.saveStatus(lease, { state: 'online' });
      await closing.close();
      await expect(underWay).resolves.toBeUndefined();
      await expect(closing.close()).resolves.toBeUndefined();
      await expect(closing.ping()).rejects.toThrow(StoreUnavailable);
      await expect(closing.inbound.loadSession(newKey())).rejects.toThrow(StoreUnavailable);
      await expect(closing.connections.remove(newKey())).rejects.toThrow(StoreUnavailable);
    });
  });
}
