import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type {
  ConnectionRecord,
  ConnectionRecords,
  CreateResult,
  Key,
  Queues,
  UpdateResult,
} from '../../bridge/ports.ts';
import type { MemoryLeases } from './leases.ts';
import { LAST_POSITION } from './queues.ts';
import type { Transactions } from './transactions.ts';

/** The records of Connections: JSON, beside the columns by which they are found. */
export class SqliteConnections implements ConnectionRecords {
  readonly #transactions: Transactions;
  readonly #leases: MemoryLeases;
  readonly #queues: Pick<Queues, 'removeThrough'>;
  readonly #insert: StatementSync;
  readonly #replace: StatementSync;
  readonly #byId: StatementSync;
  readonly #byKey: StatementSync;
  readonly #byClientId: StatementSync;
  readonly #all: StatementSync;
  readonly #after: StatementSync;
  readonly #removals: readonly StatementSync[];

  constructor(
    database: DatabaseSync,
    transactions: Transactions,
    leases: MemoryLeases,
    queues: Pick<Queues, 'removeThrough'>,
  ) {
    this.#transactions = transactions;
    this.#leases = leases;
    this.#queues = queues;
    this.#insert = database.prepare(
      'INSERT INTO connections (id, key, broker, client_id, revision, record) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#replace = database.prepare('UPDATE connections SET revision = ?, record = ? WHERE key = ? AND revision = ?');
    this.#byId = database.prepare('SELECT record FROM connections WHERE id = ?');
    this.#byKey = database.prepare('SELECT record FROM connections WHERE key = ?');
    this.#byClientId = database.prepare('SELECT record FROM connections WHERE broker = ? AND client_id = ?');
    // The order of UTF-8 bytes is that of code points.
    this.#all = database.prepare('SELECT record FROM connections ORDER BY id LIMIT ?');
    this.#after = database.prepare('SELECT record FROM connections WHERE id > ? ORDER BY id LIMIT ?');
    this.#removals = [
      'DELETE FROM connections WHERE key = ?',
      'DELETE FROM sessions WHERE key = ?',
      'DELETE FROM exchanges WHERE key = ?',
      'DELETE FROM inbound_identifiers WHERE slot = (SELECT slot FROM queues WHERE key = ?)',
      'DELETE FROM messages WHERE slot = (SELECT slot FROM queues WHERE key = ?)',
      'DELETE FROM queues WHERE key = ?',
      'DELETE FROM publications WHERE key = ?',
      'DELETE FROM publication_items WHERE key = ?',
      'DELETE FROM outbox WHERE key = ?',
      'DELETE FROM outboxes WHERE key = ?',
      'DELETE FROM kept_publications WHERE key = ?',
      'DELETE FROM schedule WHERE key = ?',
    ].map((sql) => database.prepare(sql));
  }

  create(record: ConnectionRecord): Promise<CreateResult> {
    return this.#transactions.write(() => {
      const { id, key, broker, clientId, revision } = record;
      if (this.#byId.get(id) !== undefined) return 'id-taken';
      if (this.#byClientId.get(broker, clientId) !== undefined) return 'client-id-in-use';
      this.#insert.run(id, key, broker, clientId, revision, JSON.stringify(record));
      return 'created';
    });
  }

  update(revision: number, record: ConnectionRecord): Promise<UpdateResult> {
    return this.#transactions.write(() => {
      const raised = { ...record, revision: revision + 1 };
      const { changes } = this.#replace.run(raised.revision, JSON.stringify(raised), record.key, revision);
      if (changes === 1) return 'updated';
      return this.#byKey.get(record.key) === undefined ? 'gone' : 'conflict';
    });
  }

  byId(id: string): Promise<ConnectionRecord | null> {
    return this.#find(this.#byId, id);
  }

  byKey(key: Key): Promise<ConnectionRecord | null> {
    return this.#find(this.#byKey, key);
  }

  byClientId(broker: string, clientId: string): Promise<ConnectionRecord | null> {
    return this.#find(this.#byClientId, broker, clientId);
  }

  list(after: string | null, limit: number): Promise<ConnectionRecord[]> {
    return this.#transactions.read(() =>
      (after === null ? this.#all.all(limit) : this.#after.all(after, limit)).map(parse),
    );
  }

  async remove(key: Key): Promise<void> {
    // A long queue goes piece by piece, before the rest goes in one.
    await this.#queues.removeThrough(key, LAST_POSITION);
    await this.#transactions.write(() => {
      for (const removal of this.#removals) removal.run(key);
      // Ends the owner's right to write, or its next write would leave something behind.
      this.#leases.forget(key);
    });
  }

  #find(statement: StatementSync, ...names: SQLInputValue[]): Promise<ConnectionRecord | null> {
    return this.#transactions.read(() => {
      const row = statement.get(...names);
      return row === undefined ? null : parse(row);
    });
  }
}

function parse(row: Record<string, unknown>): ConnectionRecord {
  return JSON.parse(String(row.record)) as ConnectionRecord;
}
