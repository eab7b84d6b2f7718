import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Key, Schedule } from '../../bridge/ports.ts';
import type { Transactions } from './transactions.ts';

/**
 * When Connections are due: a temporary table, in memory and never in the file, since this process is the only one and
 * a restart looks at all of them anyway. It begins with every record, due.
 */
export class TemporarySchedule implements Schedule {
  readonly #transactions: Transactions;
  readonly #now: () => number;
  readonly #set: StatementSync;
  readonly #cancel: StatementSync;
  readonly #due: StatementSync;
  readonly #upcoming: StatementSync;

  constructor(database: DatabaseSync, transactions: Transactions, now: () => number) {
    this.#transactions = transactions;
    this.#now = now;
    database.exec(`
      CREATE TEMP TABLE schedule (key TEXT NOT NULL PRIMARY KEY, due_at INTEGER NOT NULL) WITHOUT ROWID;
      CREATE INDEX temp.schedule_order ON schedule (due_at);
    `);
    database.prepare('INSERT INTO schedule SELECT key, ? FROM connections').run(now());
    this.#set = database.prepare('INSERT OR REPLACE INTO schedule VALUES (?, ?)');
    this.#cancel = database.prepare('DELETE FROM schedule WHERE key = ?');
    this.#upcoming = database.prepare('SELECT key FROM schedule WHERE due_at <= ?');
    this.#due = database.prepare('SELECT key FROM schedule WHERE due_at <= ? ORDER BY due_at LIMIT ?');
  }

  set(entries: readonly { readonly key: Key; readonly inMs: number }[]): Promise<void> {
    return this.#transactions.write(() => {
      const time = this.#now();
      for (const { key, inMs } of entries) this.#set.run(key, time + inMs);
    });
  }

  cancel(keys: readonly Key[]): Promise<void> {
    return this.#transactions.write(() => {
      for (const key of keys) this.#cancel.run(key);
    });
  }

  take(limit: number, holdMs: number): Promise<Key[]> {
    return this.#transactions.write(() => {
      const time = this.#now();
      const keys = this.#due.all(time, limit).map(({ key }) => String(key) as Key);
      for (const key of keys) this.#set.run(key, time + holdMs);
      return keys;
    });
  }

  async *upcoming(withinMs: number): AsyncGenerator<Key[]> {
    yield this.#upcoming.all(this.#now() + withinMs).map(({ key }) => String(key) as Key);
  }
}
