import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type {
  AppendResult,
  Fence,
  Inbound,
  InboundEntry,
  Key,
  QueueLimits,
  SessionRecord,
} from '../../bridge/ports.ts';
import type { IncomingMessage } from '../../mqtt/message.ts';
import { encodeMessage } from '../message-codec.ts';
import type { Queue } from './queue-table.ts';
import { type QueueParts, UNBOUNDED } from './queues.ts';

/** What the owner of a Connection writes: its session, and what arrives. */
export class SqliteInbound implements Inbound {
  readonly #parts: QueueParts;
  readonly #session: StatementSync;
  readonly #saveStatus: StatementSync;
  readonly #raiseGeneration: StatementSync;
  readonly #forgetOthers: StatementSync;
  readonly #remember: StatementSync;
  readonly #forget: StatementSync;
  readonly #isKnown: StatementSync;

  constructor(database: DatabaseSync, parts: QueueParts) {
    this.#parts = parts;
    this.#session = database.prepare('SELECT generation, status FROM sessions WHERE key = ?');
    this.#saveStatus = database.prepare(
      'INSERT INTO sessions (key, generation, status) VALUES (?, 0, ?) ON CONFLICT DO UPDATE SET status = excluded.status',
    );
    this.#raiseGeneration = database.prepare(
      `INSERT INTO sessions (key, generation, status) VALUES (?, 1, ?)
       ON CONFLICT DO UPDATE SET generation = generation + 1, status = excluded.status RETURNING generation`,
    );
    this.#forgetOthers = database.prepare(
      'DELETE FROM inbound_identifiers WHERE slot = (SELECT slot FROM queues WHERE key = ?) AND generation <> ?',
    );
    this.#remember = database.prepare('INSERT OR IGNORE INTO inbound_identifiers VALUES (?, ?, ?)');
    this.#forget = database.prepare(
      'DELETE FROM inbound_identifiers WHERE slot = ? AND generation = ? AND packet_id = ?',
    );
    this.#isKnown = database.prepare(
      'SELECT 1 FROM inbound_identifiers WHERE slot = ? AND generation = ? AND packet_id = ?',
    );
  }

  loadSession(key: Key): Promise<SessionRecord | null> {
    return this.#parts.transactions.read(() => {
      const row = this.#session.get(key);
      if (row === undefined) return null;
      return {
        schema: 1,
        generation: Number(row.generation),
        status: JSON.parse(String(row.status)) as SessionRecord['status'],
      };
    });
  }

  saveStatus(fence: Fence, status: SessionRecord['status']): Promise<void> {
    return this.#parts.transactions.write(() => {
      this.#parts.leases.check(fence);
      this.#saveStatus.run(fence.key, JSON.stringify(status));
    });
  }

  beginGeneration(fence: Fence, status: SessionRecord['status']): Promise<number> {
    return this.#parts.transactions.write(() => {
      this.#parts.leases.check(fence);
      const generation = Number(this.#raiseGeneration.get(fence.key, JSON.stringify(status))?.generation);
      this.#forgetOthers.run(fence.key, generation);
      return generation;
    });
  }

  async append(
    fence: Fence,
    generation: number,
    group: readonly InboundEntry[],
    limits: QueueLimits,
  ): Promise<AppendResult> {
    const { transactions, leases, table, watchers, now } = this.#parts;
    const result = await transactions.write(() => {
      leases.check(fence);
      const time = now();
      const queue = table.findOrCreate(fence.key);
      table.limitAge(queue, limits.maxAge * 1_000);
      const holds = limits.overflow === 'hold';
      const expired = holds ? table.trim(queue, time, UNBOUNDED) : 0;
      const before = queue.lastSequence;
      const full = group.findIndex((entry) => !this.#take(queue, generation, entry, time, limits));
      const stored = queue.lastSequence - before;
      const dropped = holds ? expired : table.trim(queue, time, limits);
      table.save(queue);
      return { taken: full === -1 ? group.length : full, stored, dropped };
    });
    if (result.stored > 0) watchers.wake(fence.key);
    return result;
  }

  /** False when it does not fit into a queue that holds. */
  #take(queue: Queue, generation: number, entry: InboundEntry, now: number, limits: QueueLimits): boolean {
    if (entry.kind === 'release') {
      this.#forget.run(queue.slot, generation, entry.packetId);
      return true;
    }
    const { message, packetId } = entry;
    const body = encodeMessage(message);
    if (limits.overflow === 'hold' && !hasRoom(queue, body.length, limits)) {
      return packetId !== undefined && this.#isKnown.get(queue.slot, generation, packetId) !== undefined;
    }
    // Method B of [MQTT 5.0 §4.3.3]: an identifier that is known marks a message that the queue already took.
    if (packetId !== undefined && this.#remember.run(queue.slot, generation, packetId).changes === 0) return true;
    this.#parts.table.push(queue, body, now, expiry(message, now));
    return true;
  }
}

/** An empty queue takes any message: one that is larger than all the room would wait for ever. */
function hasRoom({ depth, bytes }: Queue, size: number, { maxMessages, maxBytes }: QueueLimits): boolean {
  return depth === 0 || (depth < maxMessages && bytes + size <= maxBytes);
}

function expiry(message: IncomingMessage, now: number): number | null {
  const seconds = message.properties?.messageExpiryInterval;
  return seconds === undefined ? null : now + seconds * 1_000;
}
