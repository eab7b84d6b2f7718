import { Problem } from '../errors/problem.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord, Key } from './ports.ts';

/** How often a deletion is tried again that a broker out of reach holds up, in milliseconds. */
const INTERVAL_MS = 5_000;

/** Ends Connections for good. Deletions that wait for a broker outlive a restart: their records say so. */
export class Removals {
  readonly #store: BridgeDependencies['store'];
  readonly #pool: Pool;
  readonly #waiting = new Map<Key, ConnectionRecord>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(store: BridgeDependencies['store'], pool: Pool) {
    this.#store = store;
    this.#pool = pool;
  }

  /** Removes an owned Connection. `pending`: the broker could not be reached to discard the session. */
  async remove(
    record: ConnectionRecord,
    how: { session: 'discard' | 'keep'; will: 'send' | null },
  ): Promise<'deleted' | 'pending'> {
    const connection = await this.#pool.obtain(record);
    const gone = await connection.finish(
      how.will === 'send' ? { will: 'send' } : {},
      how.session === 'discard',
      deleted(),
    );
    // The lease ends last: whoever takes it then finds the record gone, or marked.
    if (gone) await this.#store.connections.remove(record.key);
    else this.add(await this.#mark(record));
    this.#pool.forget(record);
    await connection.release();
    return gone ? 'deleted' : 'pending';
  }

  /** A deletion that was begun and waits for the broker. */
  add(record: ConnectionRecord): void {
    this.#waiting.set(record.key, record);
    this.#schedule();
  }

  /** Tries now; false when the broker still cannot be reached, or another instance is at it. */
  async finish(record: ConnectionRecord): Promise<boolean> {
    const connection = await this.#pool.obtain(record);
    connection.allowDeleted();
    try {
      await connection.own();
      if ((await this.remove(record, { session: 'discard', will: null })) === 'pending') return false;
    } catch (error) {
      this.#pool.forget(record);
      if (!(error instanceof Problem) || error.type !== 'connection-not-found') throw error;
    }
    this.#waiting.delete(record.key);
    return true;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Marks the record as deleted, however another request has changed it meanwhile. */
  async #mark(record: ConnectionRecord): Promise<ConnectionRecord> {
    const { connections } = this.#store;
    for (let current: ConnectionRecord | null = record; current !== null; ) {
      const marked: ConnectionRecord = { ...current, deleting: true, revision: current.revision + 1 };
      if (current.deleting || (await connections.update(current.revision, marked)) === 'updated') return marked;
      current = await connections.byKey(record.key);
    }
    return record;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#stopped || this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => this.#finishAll(), INTERVAL_MS);
  }

  async #finishAll(): Promise<void> {
    for (const record of [...this.#waiting.values()]) {
      // Another request may have finished it, or another instance may be at it.
      if (this.#waiting.has(record.key)) await this.finish(record).catch(() => false);
    }
    this.#schedule();
  }
}

function deleted(): Problem {
  return new Problem('connection-not-found', { detail: 'The Connection was deleted' });
}
