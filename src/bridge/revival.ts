import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs } from './connection/backoff.ts';
import type { Connection } from './connection/connection.ts';
import { readStatus } from './connection/session-status.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Pool } from './pool.ts';
import { type ConnectionRecord, StoreUnavailable } from './ports.ts';
import type { Removals } from './removals.ts';

const PAGE = 200;
/** Connections that are loaded at the same time after a start. */
const CONCURRENCY = 50;

/** Brings back after a start what was there before: attaches, clears away what a crash left, finishes deletions. */
export class Revival {
  readonly #deps: BridgeDependencies;
  readonly #pool: Pool;
  readonly #removals: Removals;
  readonly #stopping = new AbortController();

  constructor(dependencies: BridgeDependencies, pool: Pool, removals: Removals) {
    this.#deps = dependencies;
    this.#pool = pool;
    this.#removals = removals;
  }

  /** Resolves when all records were seen, or rejects with the store's failure; the attaching goes on behind it. */
  async start(): Promise<void> {
    const toAttach: ConnectionRecord[] = [];
    for await (const record of this.#records()) {
      if (record.provisional) await this.#clearAway(record);
      else if (record.deleting) this.#removals.add(record);
      else if (await this.#isWanted(record)) toAttach.push(record);
    }
    this.#attachAll(toAttach);
  }

  stop(): void {
    this.#stopping.abort();
  }

  async *#records(): AsyncGenerator<ConnectionRecord> {
    for (let after: string | null = null; ; ) {
      const page: ConnectionRecord[] = await this.#deps.store.connections.list(after, PAGE);
      yield* page;
      after = page.at(-1)?.id ?? null;
      if (page.length < PAGE) return;
    }
  }

  /** A caller never had an answer for it; one whose owner still lives may get one yet. */
  async #clearAway(record: ConnectionRecord): Promise<void> {
    if ((await this.#deps.store.leases.holder(record.key)) !== null) return;
    await this.#deps.store.connections.remove(record.key);
  }

  /** A refusal or a take-over outlives a restart: only `attach` tries again. */
  async #isWanted(record: ConnectionRecord): Promise<boolean> {
    const session = await this.#deps.store.inbound.loadSession(record.key);
    const { state, wanted } = readStatus(session, record.createdAt);
    return wanted && state !== 'refused' && state !== 'takenOver';
  }

  #attachAll(records: ConnectionRecord[]): void {
    const queue = records.values();
    for (let started = 0; started < CONCURRENCY; started += 1) void this.#attachEach(queue);
  }

  async #attachEach(queue: Iterable<ConnectionRecord>): Promise<void> {
    for (const record of queue) {
      const connection = await this.#obtain(record);
      if (this.#stopping.signal.aborted) return;
      // From here on it waits for its turn at its broker, and tries again by itself; one broker holds up no other.
      connection?.attach().catch(() => undefined);
    }
  }

  /** Tries until the store answers; null when stopped meanwhile, or when the record is unusable. */
  async #obtain(record: ConnectionRecord): Promise<Connection | null> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        return await this.#pool.obtain(record);
      } catch (error) {
        this.#deps.log.error({ err: error, key: record.key }, 'a Connection could not be loaded');
        if (!(error instanceof StoreUnavailable)) return null;
        await pause(backoffMs(failures), undefined, { signal }).catch(() => undefined);
      }
    }
    return null;
  }
}
