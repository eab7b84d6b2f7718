import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type {
  Exchanges,
  Fence,
  ItemState,
  NewExchange,
  OutboundExchange,
  PublicationItem,
  Receipt,
  Settlement,
} from '../../bridge/ports.ts';
import type { PublicationParts } from './publications.ts';

/** Outbound QoS 2 exchanges that are not finished. */
export class SqliteExchanges implements Exchanges {
  readonly #parts: PublicationParts;
  readonly #begin: StatementSync;
  readonly #release: StatementSync;
  readonly #finish: StatementSync;
  readonly #items: StatementSync;
  readonly #discardOthers: StatementSync;
  readonly #load: StatementSync;

  constructor(database: DatabaseSync, parts: PublicationParts) {
    this.#parts = parts;
    // Replacing gives the row a new position, behind all others.
    this.#begin = database.prepare(
      `INSERT OR REPLACE INTO exchanges (key, packet_id, generation, stage, packet, publication, item)
       VALUES (?, ?, ?, 'publish', ?, ?, ?)`,
    );
    this.#release = database.prepare(
      `UPDATE exchanges SET stage = 'release', reason_code = ? WHERE key = ? AND packet_id = ? AND generation = ?`,
    );
    this.#finish = database.prepare('DELETE FROM exchanges WHERE key = ? AND packet_id = ?');
    this.#items = database.prepare(
      `SELECT publication, item AS "index" FROM exchanges
       WHERE key = ? AND generation <> ? AND publication IS NOT NULL`,
    );
    this.#discardOthers = database.prepare('DELETE FROM exchanges WHERE key = ? AND generation <> ?');
    this.#load = database.prepare(
      `SELECT packet_id AS packetId, stage, reason_code AS reasonCode, packet, publication, item
       FROM exchanges WHERE key = ? ORDER BY position`,
    );
  }

  begin(fence: Fence, generation: number, exchanges: readonly NewExchange[]): Promise<void> {
    return this.#fenced(fence, () => {
      for (const { packetId, packet, item = null } of exchanges) {
        const belongsTo = [item?.publication ?? null, item?.index ?? null];
        this.#begin.run(fence.key, packetId, generation, packet, ...belongsTo);
        if (item !== null) this.#move(fence, item, 'open', 'exchanged');
      }
    });
  }

  release(fence: Fence, generation: number, receipts: readonly Receipt[]): Promise<void> {
    return this.#fenced(fence, () => {
      for (const { packetId, reasonCode } of receipts) this.#release.run(reasonCode, fence.key, packetId, generation);
    });
  }

  finish(fence: Fence, packetIds: readonly number[], settlements: readonly Settlement[] = []): Promise<void> {
    const { publications, now } = this.#parts;
    return this.#fenced(fence, () => {
      for (const packetId of packetIds) this.#finish.run(fence.key, packetId);
      for (const { item, outcome } of settlements) {
        if (outcome === null) this.#move(fence, item, 'exchanged', 'open');
        else publications.setState(fence.key, item, { state: 'done', outcome }, now());
      }
    });
  }

  load(fence: Fence, generation: number): Promise<OutboundExchange[]> {
    return this.#fenced(fence, () => {
      for (const item of this.#items.all(fence.key, generation)) {
        this.#move(fence, item as unknown as PublicationItem, 'exchanged', 'lost');
      }
      this.#discardOthers.run(fence.key, generation);
      return this.#load.all(fence.key).map(({ publication, item, ...exchange }) => ({
        ...(exchange as unknown as Omit<OutboundExchange, 'item'>),
        item: publication === null ? null : { publication: String(publication), index: Number(item) },
      }));
    });
  }

  #move(fence: Fence, item: PublicationItem, from: ItemStep, to: ItemStep): void {
    const { publications, now } = this.#parts;
    if (publications.stateOf(fence.key, item) === from) publications.setState(fence.key, item, { state: to }, now());
  }

  #fenced<T>(fence: Fence, work: () => T): Promise<T> {
    return this.#parts.transactions.write(() => {
      this.#parts.leases.check(fence);
      return work();
    });
  }
}

type ItemStep = Exclude<ItemState['state'], 'done'>;
