import type { ConnectionRecord, ConnectionRecords, CreateResult, Key, UpdateResult } from '../../bridge/ports.ts';
import { type Claims, nameByClientId, nameById, namesOf, type UniqueName } from './claims.ts';
import type { Keys } from './keys.ts';
import type { IndexEntry, RecordIndex } from './record-index.ts';
import type { RecordTable } from './record-table.ts';
import type { RedisSchedule } from './schedule.ts';

export interface ConnectionParts {
  readonly keys: Keys;
  readonly records: RecordTable;
  readonly claims: Claims;
  readonly index: RecordIndex;
  readonly schedule: RedisSchedule;
}

/**
 * Records, their two unique names, the list and the schedule: five slots, so no step can change them together. The record is the
 * truth, and its commit and its removal are the moments at which a Connection begins and ends. All else points to it
 * and is ignored where it points to nothing.
 *
 * Create: 1. prepare the record (unseen; expires by itself) 2. claim the id 3. claim the ClientID 4. list it 5. commit.
 * Remove: 1. the record with all under its key 2. the claims 3. the list 4. the schedule.
 *
 * - A committed record has both names: whoever takes over a claim has seen that its record is gone, and then there is
 *   no commit of it either.
 * - A crash before the commit leaves a record that expires, and claims and an entry that then point to nothing; a
 *   crash within a removal leaves the same. A later create takes such claims over; list passes such entries by, and
 *   `sweep` removes them.
 */
export class RedisConnections implements ConnectionRecords {
  readonly #parts: ConnectionParts;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  async create(record: ConnectionRecord): Promise<CreateResult> {
    const { records, index } = this.#parts;
    const claimed: UniqueName[] = [];
    try {
      await records.prepare(record);
      for (const name of namesOf(this.#parts.keys, record)) {
        if (!(await this.#parts.claims.take(name, record.key))) {
          await this.#undo(record, claimed);
          return name.taken;
        }
        claimed.push(name);
      }
      await index.add(record);
      await records.commit(record.key);
      return 'created';
    } catch (error) {
      // Only to tidy up: when this fails too, everything is found stale later.
      await this.#undo(record, claimed).catch(() => {});
      throw error;
    }
  }

  update(revision: number, record: ConnectionRecord): Promise<UpdateResult> {
    return this.#parts.records.update(revision, record);
  }

  byId(id: string): Promise<ConnectionRecord | null> {
    return this.#parts.claims.find(nameById(this.#parts.keys, id));
  }

  async byKey(key: Key): Promise<ConnectionRecord | null> {
    const found = await this.#parts.records.find(key);
    return found === 'prepared' ? null : found;
  }

  byClientId(broker: string, clientId: string): Promise<ConnectionRecord | null> {
    return this.#parts.claims.find(nameByClientId(this.#parts.keys, broker, clientId));
  }

  async list(after: string | null, limit: number): Promise<ConnectionRecord[]> {
    const found: ConnectionRecord[] = [];
    let from: string | IndexEntry | null = after;
    while (found.length < limit) {
      const wanted = limit - found.length;
      const entries: IndexEntry[] = await this.#parts.index.after(from, wanted);
      const records = await Promise.all(entries.map(({ key }) => this.byKey(key)));
      found.push(...records.filter((record) => record !== null));
      from = entries.at(-1) ?? null;
      if (entries.length < wanted) break;
    }
    return found;
  }

  async remove(key: Key): Promise<void> {
    const record = await this.#parts.records.remove(key);
    if (record !== null) await this.#forget(record, namesOf(this.#parts.keys, record));
    await this.#parts.schedule.cancel([key]);
  }

  async #undo(record: ConnectionRecord, claimed: readonly UniqueName[]): Promise<void> {
    await this.#parts.records.remove(record.key);
    await this.#forget(record, claimed);
  }

  async #forget(record: ConnectionRecord, names: readonly UniqueName[]): Promise<void> {
    const { claims, index } = this.#parts;
    await Promise.all(names.map((name) => claims.release(name, record.key)));
    await index.remove(record);
  }
}
