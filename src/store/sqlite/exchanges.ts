import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Exchanges, Fence, OutboundExchange } from '../../bridge/ports.ts';
import type { MemoryLeases } from './leases.ts';
import type { Transactions } from './transactions.ts';

/** Outbound QoS 2 exchanges that are not finished. */
export class SqliteExchanges implements Exchanges {
  readonly #transactions: Transactions;
  readonly #leases: MemoryLeases;
  readonly #begin: StatementSync;
  readonly #release: StatementSync;
  readonly #finish: StatementSync;
  readonly #discardOthers: StatementSync;
  readonly #load: StatementSync;

  constructor(database: DatabaseSync, transactions: Transactions, leases: MemoryLeases) {
    this.#transactions = transactions;
    this.#leases = leases;
    // Replacing gives the row a new position, behind all others.
    this.#begin = database.prepare(
      `INSERT OR REPLACE INTO exchanges (key, packet_id, generation, stage, packet) VALUES (?, ?, ?, 'publish', ?)`,
    );
    this.#release = database.prepare(
      `UPDATE exchanges SET stage = 'release' WHERE key = ? AND packet_id = ? AND generation = ?`,
    );
    this.#finish = database.prepare('DELETE FROM exchanges WHERE key = ? AND packet_id = ?');
    this.#discardOthers = database.prepare('DELETE FROM exchanges WHERE key = ? AND generation <> ?');
    this.#load = database.prepare(
      'SELECT packet_id AS packetId, stage, packet FROM exchanges WHERE key = ? ORDER BY position',
    );
  }

  begin(
    fence: Fence,
    generation: number,
    exchanges: readonly { packetId: number; packet: Uint8Array }[],
  ): Promise<void> {
    return this.#fenced(fence, () => {
      for (const { packetId, packet } of exchanges) this.#begin.run(fence.key, packetId, generation, packet);
    });
  }

  release(fence: Fence, generation: number, packetIds: readonly number[]): Promise<void> {
    return this.#fenced(fence, () => {
      for (const packetId of packetIds) this.#release.run(fence.key, packetId, generation);
    });
  }

  finish(fence: Fence, packetIds: readonly number[]): Promise<void> {
    return this.#fenced(fence, () => {
      for (const packetId of packetIds) this.#finish.run(fence.key, packetId);
    });
  }

  load(fence: Fence, generation: number): Promise<OutboundExchange[]> {
    return this.#fenced(fence, () => {
      this.#discardOthers.run(fence.key, generation);
      return this.#load.all(fence.key).map((row) => ({ ...row }) as unknown as OutboundExchange);
    });
  }

  #fenced<T>(fence: Fence, work: () => T): Promise<T> {
    return this.#transactions.write(() => {
      this.#leases.check(fence);
      return work();
    });
  }
}
