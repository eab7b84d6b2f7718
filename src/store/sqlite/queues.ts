import type { Fence, Key, Position, QueuedMessage, QueuePage, QueueStats, Queues } from '../../bridge/ports.ts';
import { decodeMessage } from '../message-codec.ts';
import type { MemoryLeases } from './leases.ts';
import type { Queue, QueueTable } from './queue-table.ts';
import type { Transactions } from './transactions.ts';
import type { Watchers } from './watchers.ts';

/** No message comes after it. */
export const LAST_POSITION = String(Number.MAX_SAFE_INTEGER) as Position;

/** A page ends early rather than hold more than this, so that large payloads cannot fill the memory. */
const PAGE_BYTES = 8 * 1024 * 1024;

/** A longer removal is several units, so that others get their turn. */
const REMOVED_AT_ONCE = 10_000;

/** What a trim for age alone allows. */
export const UNBOUNDED = { maxMessages: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY };

export interface QueueParts {
  readonly transactions: Transactions;
  readonly leases: MemoryLeases;
  readonly table: QueueTable;
  readonly watchers: Watchers;
  readonly now: () => number;
}

/** What readers do with a queue. A position is the message's sequence number in it, in decimal. */
export class SqliteQueues implements Queues {
  readonly #parts: QueueParts;

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  async read(key: Key, after: Position | null, limit: number): Promise<QueuePage> {
    await this.#removeExpired(key);
    const { transactions, table } = this.#parts;
    return transactions.read(() => {
      const queue = table.find(key);
      return queue === null ? { messages: [], remaining: 0 } : this.#page(queue, after, limit);
    });
  }

  async removeThrough(key: Key, through: Position): Promise<number> {
    const { table } = this.#parts;
    let count = 0;
    for (;;) {
      const removed = await this.#change(key, (queue) => table.removeThrough(queue, Number(through), REMOVED_AT_ONCE));
      count += removed;
      if (removed < REMOVED_AT_ONCE) return count;
    }
  }

  async removeEach(key: Key, positions: readonly Position[]): Promise<number> {
    return this.#change(
      key,
      (queue) => positions.filter((position) => this.#parts.table.remove(queue, Number(position))).length,
    );
  }

  async stats(key: Key): Promise<QueueStats> {
    await this.#removeExpired(key);
    return this.#parts.transactions.read(() => {
      const { depth, bytes, dropped } = this.#parts.table.find(key) ?? { depth: 0, bytes: 0, dropped: 0 };
      return { depth, bytes, dropped };
    });
  }

  countDropped(fence: Fence, count: number): Promise<void> {
    const { transactions, leases, table } = this.#parts;
    return transactions.write(() => {
      leases.check(fence);
      const queue = table.findOrCreate(fence.key);
      queue.dropped += count;
      table.save(queue);
    });
  }

  isPosition(text: string): text is Position {
    return /^[1-9][0-9]{0,15}$/.test(text) && Number.isSafeInteger(Number(text));
  }

  compare(a: Position, b: Position): number {
    return Number(a) - Number(b);
  }

  watch(key: Key, onAppend: () => void): () => void {
    return this.#parts.watchers.add(key, onAppend);
  }

  #page(queue: Queue, after: Position | null, limit: number): QueuePage {
    const messages: QueuedMessage[] = [];
    let last = after === null ? 0 : Number(after);
    let bytes = 0;
    for (const { sequence, body } of this.#parts.table.page(queue, last, limit)) {
      messages.push({ position: String(sequence) as Position, message: decodeMessage(body), deliveryCount: 0 });
      last = sequence;
      bytes += body.length;
      if (bytes >= PAGE_BYTES) break;
    }
    return { messages, remaining: this.#parts.table.countAfter(queue, last) };
  }

  /** Reading writes only when there is something to remove. */
  async #removeExpired(key: Key): Promise<void> {
    const { transactions, table, now } = this.#parts;
    const some = await transactions.read(() => {
      const queue = table.find(key);
      return queue !== null && queue.dueAt <= now();
    });
    if (some) await this.#change(key, (queue) => table.trim(queue, now(), UNBOUNDED));
  }

  #change(key: Key, work: (queue: Queue) => number): Promise<number> {
    const { transactions, table } = this.#parts;
    return transactions.write(() => {
      const queue = table.find(key);
      if (queue === null) return 0;
      const count = work(queue);
      table.save(queue);
      return count;
    });
  }
}
