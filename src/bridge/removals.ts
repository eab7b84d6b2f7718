import { Problem } from '../errors/problem.ts';
import { Retry } from './connection/retry.ts';
import { Turns } from './connection/turns.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord, Key } from './ports.ts';

/** Sessions that are discarded at one broker at the same time. */
const DISCARDING_AT_ONCE = 10;

interface How {
  session: 'discard' | 'keep';
  will: 'send' | null;
}

/**
 * Ends Connections for good. Deletions that wait for a broker are tried again, less often each time, and outlive a
 * restart: their records say so.
 */
export class Removals {
  readonly #deps: Pick<BridgeDependencies, 'store' | 'log'>;
  readonly #pool: Pool;
  readonly #waiting = new Map<Key, Retry>();
  /** Attempts under way, which all share who wants the deletion finished. */
  readonly #underWay = new Map<Key, Promise<boolean>>();
  readonly #turns = new Turns(DISCARDING_AT_ONCE);
  readonly #stopping = new AbortController();

  constructor(dependencies: Pick<BridgeDependencies, 'store' | 'log'>, pool: Pool) {
    this.#deps = dependencies;
    this.#pool = pool;
  }

  /**
   * Removes an owned Connection. `pending`: the broker could not be reached to discard the session, which is tried
   * again. A session that the broker will not let us discard is left to expire there.
   */
  async remove(record: ConnectionRecord, how: How): Promise<'deleted' | 'pending'> {
    const { store, log } = this.#deps;
    const connection = await this.#pool.obtain(record);
    const ending = how.will === 'send' ? { will: 'send' as const } : {};
    const discarded = await connection.finish(ending, how.session === 'discard', deleted());
    const gone = discarded !== 'unreachable';
    if (discarded === 'refused') {
      log.warn(
        { key: record.key },
        'the broker refused to discard the session of a deleted Connection: it has to expire',
      );
    }
    // The lease ends last: whoever takes it then finds the record gone, or marked.
    if (gone) {
      await store.connections.remove(record.key);
      this.#forget(record);
    } else this.add(await this.#mark(record));
    this.#pool.forget(record);
    await connection.release();
    return gone ? 'deleted' : 'pending';
  }

  /** A deletion that was begun and waits for the broker. */
  add(record: ConnectionRecord): void {
    if (this.#stopping.signal.aborted || this.#waiting.has(record.key)) return;
    const retry = new Retry(() => void this.#tryAgain(record, retry));
    this.#waiting.set(record.key, retry);
    retry.backOff();
  }

  /** Tries now; false when the broker still cannot be reached. Rejects when another instance is at it. */
  finish(record: ConnectionRecord): Promise<boolean> {
    const known = this.#underWay.get(record.key);
    if (known !== undefined) return known;
    const attempt = this.#finish(record, 'discard').finally(() => this.#underWay.delete(record.key));
    this.#underWay.set(record.key, attempt);
    return attempt;
  }

  /** Finishes a deletion that waits without discarding the session, and ends an attempt to discard it. */
  async giveUp(record: ConnectionRecord): Promise<'deleted'> {
    await this.#finish(record, 'keep');
    return 'deleted';
  }

  stop(): void {
    this.#stopping.abort();
    for (const retry of this.#waiting.values()) retry.cancel();
  }

  async #finish(record: ConnectionRecord, session: How['session']): Promise<boolean> {
    const connection = await this.#pool.obtain(record);
    connection.allowDeleted();
    try {
      await connection.own();
      return (await this.remove(record, { session, will: null })) === 'deleted';
    } catch (error) {
      this.#pool.forget(record);
      if (!(error instanceof Problem) || error.type !== 'connection-not-found') throw error;
      this.#forget(record);
      return true;
    }
  }

  async #tryAgain(record: ConnectionRecord, retry: Retry): Promise<void> {
    const { signal } = this.#stopping;
    // Another instance may be at it, or the store out of reach.
    await this.#turns.run(record.broker, signal, () => this.finish(record)).catch(() => false);
    if (this.#waiting.get(record.key) === retry && !signal.aborted) retry.backOff();
  }

  #forget({ key }: ConnectionRecord): void {
    this.#waiting.get(key)?.cancel();
    this.#waiting.delete(key);
  }

  /** Marks the record as deleted, however another request has changed it meanwhile. */
  async #mark(record: ConnectionRecord): Promise<ConnectionRecord> {
    const { connections } = this.#deps.store;
    for (let current: ConnectionRecord | null = record; current !== null; ) {
      const marked: ConnectionRecord = { ...current, deleting: true, revision: current.revision + 1 };
      if (current.deleting || (await connections.update(current.revision, marked)) === 'updated') return marked;
      current = await connections.byKey(record.key);
    }
    return record;
  }
}

function deleted(): Problem {
  return new Problem('connection-not-found', { detail: 'The Connection was deleted' });
}
