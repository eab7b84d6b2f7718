import type { BridgeDependencies } from './dependencies.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord } from './ports.ts';
import type { Removals } from './removals.ts';
import { readStatus } from './session-status.ts';

const PAGE = 200;
/** CONNECTs under way at the same time after a start: a broker that comes back should not meet thousands at once. */
const CONCURRENCY = 50;

/** Brings back after a start what was there before: attaches, clears away what a crash left, finishes deletions. */
export class Revival {
  readonly #deps: BridgeDependencies;
  readonly #pool: Pool;
  readonly #removals: Removals;
  #stopped = false;

  constructor(dependencies: BridgeDependencies, pool: Pool, removals: Removals) {
    this.#deps = dependencies;
    this.#pool = pool;
    this.#removals = removals;
  }

  /** Resolves when all records were seen; the attaching goes on behind it. */
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
    this.#stopped = true;
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
    const worker = async () => {
      for (const record of queue) {
        if (this.#stopped) return;
        const connection = await this.#pool.obtain(record);
        await connection.attach().catch(() => undefined);
      }
    };
    for (let started = 0; started < CONCURRENCY; started += 1) worker();
  }
}
