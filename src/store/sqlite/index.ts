import type { DatabaseSync } from 'node:sqlite';
import type { Store } from '../../bridge/ports.ts';
import { MemoryBus } from './bus.ts';
import { SqliteConnections } from './connections.ts';
import { toStoreError } from './errors.ts';
import { SqliteExchanges } from './exchanges.ts';
import { SqliteInbound } from './inbound.ts';
import { MemoryLeases } from './leases.ts';
import { MemoryMembers } from './members.ts';
import { openDatabase } from './open.ts';
import { PublicationTable } from './publication-table.ts';
import { SqlitePublications } from './publications.ts';
import { QueueTable } from './queue-table.ts';
import { SqliteQueues } from './queues.ts';
import { TemporarySchedule } from './schedule.ts';
import { MIGRATIONS } from './schema.ts';
import { Transactions } from './transactions.ts';
import { Watchers } from './watchers.ts';

export { StoreInUse, StoreTooNew } from './errors.ts';

export interface SqliteStoreOptions {
  /** A file, created with its folders when missing, or `:memory:`. */
  readonly path: string;
  /** The store's clock, in milliseconds since the epoch; the system's by default. */
  readonly now?: () => number;
}

/**
 * The embedded store: one file, one process, durable on one machine (every commit is synced). Throws `StoreInUse` when
 * another process has the file, `StoreTooNew` when a newer release wrote it, `StoreUnavailable` when it cannot be used.
 */
export function openSqliteStore({ path, now = Date.now }: SqliteStoreOptions): Store {
  const database = openDatabase(path, MIGRATIONS);
  try {
    return storeOn(database, path, now);
  } catch (error) {
    database.close();
    throw toStoreError(error, path);
  }
}

/** The store on a database that `openDatabase` opened; it closes it. `path` is for messages. */
export function storeOn(database: DatabaseSync, path: string, now: () => number): Store {
  const transactions = new Transactions(database, path);
  const leases = new MemoryLeases(now);
  const parts = { transactions, leases, table: new QueueTable(database), watchers: new Watchers(), now };
  const publications = new PublicationTable(database);
  const queues = new SqliteQueues(parts);
  const schedule = new TemporarySchedule(database, transactions, now);
  const probe = database.prepare('SELECT count(*) FROM sqlite_schema');
  return {
    connections: new SqliteConnections(database, transactions, leases, queues),
    leases,
    members: new MemoryMembers(now),
    bus: new MemoryBus(),
    schedule,
    inbound: new SqliteInbound(database, parts),
    queues,
    exchanges: new SqliteExchanges(database, { transactions, leases, publications, now }),
    publications: new SqlitePublications({ transactions, leases, publications, now }),
    async ping() {
      await transactions.read(() => probe.get());
    },
    async close() {
      transactions.close();
      if (database.isOpen) database.close();
    },
  };
}
