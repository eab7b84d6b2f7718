import type { BridgeDependencies } from './dependencies.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord, Key } from './ports.ts';

/** How often a deletion is tried again that a broker out of reach holds up, in milliseconds. */
const INTERVAL_MS = 5_000;

/** Deletions that wait for a broker to discard the session. They outlive a restart: their records say so. */
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

  add(record: ConnectionRecord): void {
    this.#waiting.set(record.key, record);
    this.#schedule();
  }

  /** Tries now; false when the broker still cannot be reached. */
  async finish(record: ConnectionRecord): Promise<boolean> {
    const connection = await this.#pool.obtain(record);
    await connection.own();
    const gone = await connection.discard();
    this.#pool.forget(record);
    if (!gone) return false;
    this.#waiting.delete(record.key);
    await this.#store.connections.remove(record.key);
    return true;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
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
