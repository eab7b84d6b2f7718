import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { StoreUnavailable } from '../../bridge/ports.ts';
import { toStoreError } from './errors.ts';

/** How long one transaction takes in units, in milliseconds: bounds how long the event loop stands still. */
const TRANSACTION_MS = 10;

/** A unit of work that waits for its transaction. */
interface Unit {
  /** Does the work; answers what tells its caller, once it is committed. */
  perform(): () => void;
  fail(error: unknown): void;
}

/**
 * Group commit: all writes that callers ask for in one turn of the event loop share a transaction, and so one fsync.
 * Each is a savepoint of it, so that one that fails leaves the others alone. They run in the order asked for.
 */
export class Transactions {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #save: StatementSync;
  readonly #undo: StatementSync;
  readonly #release: StatementSync;
  #waiting: Unit[] = [];
  #closed = false;

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
    this.#begin = database.prepare('BEGIN IMMEDIATE');
    this.#commit = database.prepare('COMMIT');
    this.#save = database.prepare('SAVEPOINT unit');
    this.#undo = database.prepare('ROLLBACK TO unit');
    this.#release = database.prepare('RELEASE unit');
  }

  /** Reads what is committed. Rejects with `StoreUnavailable`. */
  async read<T>(work: () => T): Promise<T> {
    if (this.#closed) throw closed();
    try {
      return work();
    } catch (error) {
      throw toStoreError(error, this.#path);
    }
  }

  /**
   * Resolves with what `work` answers once it is committed. Rejects with `StoreUnavailable`, or with what `work` threw,
   * and then nothing of it is kept. `work` may run and be undone; it does not wait and asks for no other write.
   */
  write<T>(work: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      const perform = () => {
        const result = work();
        return () => resolve(result);
      };
      this.#waiting.push({ perform, fail: reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#run());
    });
  }

  /** Commits what is waiting; refuses what comes later. */
  close(): void {
    this.#closed = true;
    while (this.#waiting.length > 0) this.#transact();
  }

  #run(): void {
    // Nothing is waiting when `close` was faster.
    if (this.#waiting.length > 0) this.#transact();
    if (this.#waiting.length > 0) setImmediate(() => this.#run());
  }

  #transact(): void {
    const settled: (() => void)[] = [];
    try {
      this.#begin.run();
      const deadline = performance.now() + TRANSACTION_MS;
      for (const unit of this.#waiting) {
        settled.push(this.#attempt(unit));
        if (performance.now() > deadline) break;
      }
      this.#commit.run();
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      for (const unit of this.#waiting.splice(0)) unit.fail(toStoreError(error, this.#path));
      return;
    }
    this.#waiting = this.#waiting.slice(settled.length);
    for (const settle of settled) settle();
  }

  #attempt(unit: Unit): () => void {
    this.#save.run();
    try {
      const settle = unit.perform();
      this.#release.run();
      return settle;
    } catch (error) {
      // A full disk or a failed read can make SQLite give up the whole transaction.
      if (!this.#database.isTransaction) throw error;
      this.#undo.run();
      this.#release.run();
      return () => unit.fail(toStoreError(error, this.#path));
    }
  }
}

function closed(): StoreUnavailable {
  return new StoreUnavailable('The store is closed');
}
