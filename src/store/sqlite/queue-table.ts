import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Key } from '../../bridge/ports.ts';

/** A queue's counters; changed here while a unit works, written back by `save`. Times in ms, moments since the epoch. */
export interface Queue {
  readonly slot: number;
  lastSequence: number;
  depth: number;
  bytes: number;
  dropped: number;
  maxAge: number;
  /** No message expires before, whether by its own interval or by `maxAge`. */
  dueAt: number;
}

export interface Bounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export interface StoredMessage {
  readonly sequence: number;
  readonly body: Uint8Array;
}

interface Head {
  readonly sequence: number;
  readonly storedAt: number;
  readonly size: number;
}

interface Sum {
  readonly depth: number;
  readonly bytes: number;
  /** The last one's sequence; null when there is none. */
  readonly last: number | null;
}

const NEVER = Number.MAX_SAFE_INTEGER;

/**
 * The rows of queues and messages, and the rule that keeps the counters true to them. It neither begins nor commits:
 * whoever writes calls it inside a unit.
 */
export class QueueTable {
  readonly #find: StatementSync;
  readonly #create: StatementSync;
  readonly #save: StatementSync;
  readonly #insert: StatementSync;
  readonly #page: StatementSync;
  readonly #heads: StatementSync;
  readonly #sumThrough: StatementSync;
  readonly #deleteThrough: StatementSync;
  readonly #delete: StatementSync;
  readonly #countThrough: StatementSync;
  readonly #countAfter: StatementSync;
  readonly #sumExpired: StatementSync;
  readonly #deleteExpired: StatementSync;
  readonly #nextExpiry: StatementSync;

  constructor(database: DatabaseSync) {
    const prepare = (sql: string) => database.prepare(sql);
    const through = 'FROM messages WHERE slot = ? AND sequence <= ?';
    const expired = 'FROM messages WHERE slot = ? AND expires_at <= ?';
    this.#find = prepare(
      `SELECT slot, last_sequence AS lastSequence, depth, bytes, dropped, max_age AS maxAge, due_at AS dueAt
       FROM queues WHERE key = ?`,
    );
    this.#create = prepare(`INSERT INTO queues VALUES (NULL, ?, 0, 0, 0, 0, 0, ${NEVER})`);
    this.#save = prepare(
      `UPDATE queues SET last_sequence = ?, depth = ?, bytes = ?, dropped = ?, max_age = ?, due_at = ? WHERE slot = ?`,
    );
    this.#insert = prepare('INSERT INTO messages (slot, sequence, stored_at, expires_at, body) VALUES (?, ?, ?, ?, ?)');
    this.#page = prepare(
      'SELECT sequence, body FROM messages WHERE slot = ? AND sequence > ? ORDER BY sequence LIMIT ?',
    );
    this.#heads = prepare(
      'SELECT sequence, stored_at AS storedAt, length(body) AS size FROM messages WHERE slot = ? ORDER BY sequence',
    );
    this.#sumThrough = prepare(
      `SELECT count(*) AS depth, total(size) AS bytes, max(sequence) AS last
       FROM (SELECT sequence, length(body) AS size ${through} ORDER BY sequence LIMIT ?)`,
    );
    this.#deleteThrough = prepare(`DELETE ${through}`);
    this.#delete = prepare('DELETE FROM messages WHERE slot = ? AND sequence = ? RETURNING length(body) AS size');
    this.#countThrough = prepare(`SELECT count(*) AS count ${through}`);
    this.#countAfter = prepare('SELECT count(*) AS count FROM messages WHERE slot = ? AND sequence > ?');
    this.#sumExpired = prepare(`SELECT count(*) AS depth, total(length(body)) AS bytes ${expired}`);
    this.#deleteExpired = prepare(`DELETE ${expired}`);
    this.#nextExpiry = prepare(
      'SELECT min(expires_at) AS moment FROM messages WHERE slot = ? AND expires_at IS NOT NULL',
    );
  }

  find(key: Key): Queue | null {
    return (this.#find.get(key) as Queue | undefined) ?? null;
  }

  findOrCreate(key: Key): Queue {
    const found = this.find(key);
    if (found !== null) return found;
    const slot = Number(this.#create.run(key).lastInsertRowid);
    return { slot, lastSequence: 0, depth: 0, bytes: 0, dropped: 0, maxAge: 0, dueAt: NEVER };
  }

  save({ slot, lastSequence, depth, bytes, dropped, maxAge, dueAt }: Queue): void {
    this.#save.run(lastSequence, depth, bytes, dropped, maxAge, dueAt, slot);
  }

  push(queue: Queue, body: Uint8Array, now: number, expiresAt: number | null): void {
    queue.lastSequence += 1;
    queue.depth += 1;
    queue.bytes += body.length;
    queue.dueAt = Math.min(queue.dueAt, now + queue.maxAge, expiresAt ?? NEVER);
    this.#insert.run(queue.slot, queue.lastSequence, now, expiresAt, body);
  }

  /** Messages after `sequence`, in order; they are fetched as they are taken. */
  page(queue: Queue, sequence: number, limit: number): Iterable<StoredMessage> {
    return this.#page.iterate(queue.slot, sequence, limit) as Iterable<StoredMessage>;
  }

  /** How many messages come after one: counted only when removals have left gaps, and then on the shorter side. */
  countAfter(queue: Queue, sequence: number): number {
    const first = this.#head(queue)?.sequence;
    if (first === undefined || sequence >= queue.lastSequence) return 0;
    if (sequence < first) return queue.depth;
    if (queue.lastSequence - first + 1 === queue.depth) return queue.lastSequence - sequence;
    return sequence - first < queue.lastSequence - sequence
      ? queue.depth - Number(this.#countThrough.get(queue.slot, sequence)?.count)
      : Number(this.#countAfter.get(queue.slot, sequence)?.count);
  }

  /** Removes the oldest up to and including `sequence`, not more than `limit`; answers how many there were. */
  removeThrough(queue: Queue, sequence: number, limit: number): number {
    const { depth, bytes, last } = this.#sumThrough.get(queue.slot, sequence, limit) as unknown as Sum;
    if (last !== null) this.#deleteThrough.run(queue.slot, last);
    queue.depth -= depth;
    queue.bytes -= bytes;
    return depth;
  }

  /** Answers whether it was there. */
  remove(queue: Queue, sequence: number): boolean {
    const row = this.#delete.get(queue.slot, sequence);
    if (row === undefined) return false;
    queue.depth -= 1;
    queue.bytes -= Number(row.size);
    return true;
  }

  /** From now on messages live this long (ms), those that are there too. */
  limitAge(queue: Queue, maxAge: number): void {
    if (queue.maxAge === maxAge) return;
    queue.maxAge = maxAge;
    queue.dueAt = 0;
  }

  /**
   * Removes what has expired, and then the oldest messages until the rest is within the bounds and `queue.maxAge`:
   * these are counted as dropped, those whose Message Expiry Interval has passed are not. Answers how many were dropped.
   */
  trim(queue: Queue, now: number, bounds: Bounds): number {
    const due = queue.dueAt <= now;
    if (due) this.#removeExpired(queue, now);
    const dropped = due || !isWithin(queue, bounds) ? this.#dropOldest(queue, now, bounds) : 0;
    if (due) queue.dueAt = this.#nextDue(queue);
    return dropped;
  }

  #removeExpired(queue: Queue, now: number): void {
    const sum = this.#sumExpired.get(queue.slot, now) as unknown as Omit<Sum, 'last'>;
    if (sum.depth > 0) this.#deleteExpired.run(queue.slot, now);
    queue.depth -= sum.depth;
    queue.bytes -= sum.bytes;
  }

  #dropOldest(queue: Queue, now: number, bounds: Bounds): number {
    const before = queue.depth;
    let through = 0;
    for (const { sequence, storedAt, size } of this.#heads.iterate(queue.slot) as Iterable<Head>) {
      if (isWithin(queue, bounds) && storedAt > now - queue.maxAge) break;
      queue.depth -= 1;
      queue.bytes -= size;
      through = sequence;
    }
    const dropped = before - queue.depth;
    if (dropped > 0) this.#deleteThrough.run(queue.slot, through);
    queue.dropped += dropped;
    return dropped;
  }

  #nextDue(queue: Queue): number {
    const head = this.#head(queue);
    if (head === undefined) return NEVER;
    const expiry = this.#nextExpiry.get(queue.slot)?.moment ?? NEVER;
    return Math.min(head.storedAt + queue.maxAge, Number(expiry));
  }

  #head(queue: Queue): Head | undefined {
    return this.#heads.get(queue.slot) as unknown as Head | undefined;
  }
}

function isWithin(queue: Queue, { maxMessages, maxBytes }: Bounds): boolean {
  return queue.depth <= maxMessages && queue.bytes <= maxBytes;
}
