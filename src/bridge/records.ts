import { Problem } from '../errors/problem.ts';
import { isReservedId } from '../schemas/common.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import { changedMembers, changesSubscriptions, needsReattach } from './changes.ts';
import type { Log } from './dependencies.ts';
import type { Documents } from './documents.ts';
import { brokerIdentity } from './link/connect-options.ts';
import { problemOf } from './link/link-problems.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord, ConnectionRecords } from './ports.ts';

/** How often a change is tried again that another request overtook. */
const UPDATE_ATTEMPTS = 5;

type Edit = (before: ConnectionParameters) => ConnectionParameters;

/** A stored change: the record and document as they are now, and the members that differ from before. */
export interface Change {
  record: ConnectionRecord;
  document: ConnectionParameters;
  changed: string[];
}

/** The records of Connections, found by id and changed without losing another request's change. */
export class Records {
  readonly #store: Pick<ConnectionRecords, 'byId' | 'update'>;
  readonly #documents: Documents;
  readonly #pool: Pool;
  readonly #log: Log;

  constructor(store: Pick<ConnectionRecords, 'byId' | 'update'>, documents: Documents, pool: Pool, log: Log) {
    this.#store = store;
    this.#documents = documents;
    this.#pool = pool;
    this.#log = log;
  }

  /** The record of a caller's id; `connection-not-found` when there is none, or only one that is being deleted. */
  async require(id: string): Promise<ConnectionRecord> {
    const record = isReservedId(id) ? null : await this.#store.byId(id);
    if (record === null || record.deleting) {
      throw new Problem('connection-not-found', { detail: `There is no Connection with the id ${JSON.stringify(id)}` });
    }
    return record;
  }

  /**
   * Stores a changed document, unless the edit changes nothing. The live Connection, which is owned by then, does not
   * know of it yet: tell it, and `settle` it. Rejects with `not-owner` when another instance has it: the change would
   * not reach it.
   */
  async edit(first: ConnectionRecord, edit: Edit): Promise<Change> {
    const connection = await this.#pool.obtain(first);
    await connection.own();
    try {
      return await this.#edit(first, edit);
    } catch (error) {
      await connection.settle();
      throw error;
    }
  }

  /** Stores a changed document and lets the live Connection follow. */
  async change(first: ConnectionRecord, edit: Edit): Promise<ConnectionRecord> {
    const { record, document, changed } = await this.edit(first, edit);
    const connection = await this.#pool.obtain(record);
    if (changed.length > 0) {
      const consequences = { reattach: needsReattach(changed), subscriptions: changesSubscriptions(changed) };
      await connection.update(document, consequences).catch((error) => this.#onFailure(record, error));
    }
    await connection.settle();
    return record;
  }

  /** The change is stored, and how far the broker followed is told by the state; but not what went wrong in here. */
  #onFailure({ key }: ConnectionRecord, error: unknown): void {
    if (problemOf(error).type === 'internal') this.#log.error({ err: error, key }, 'a change could not be carried out');
  }

  async #edit(first: ConnectionRecord, edit: Edit): Promise<Change> {
    let record = first;
    for (let attempt = 0; attempt < UPDATE_ATTEMPTS; attempt += 1) {
      const before = this.#documents.read(record);
      const document = edit(before);
      const changed = changedMembers(before, document);
      if (changed.length === 0) return { record, document, changed };
      requireSameIdentity(record, document);
      const next = this.#documents.replace(record, document);
      const result = await this.#store.update(record.revision, next);
      if (result === 'updated') return { record: next, document, changed };
      record = await this.require(record.id);
    }
    throw new Problem('changed-meanwhile', { detail: 'Other requests change the same Connection' });
  }
}

/** What a broker knows a client by cannot change: that would be another Connection. */
function requireSameIdentity(record: ConnectionRecord, document: ConnectionParameters): void {
  const faults = [
    document.id === record.id ? null : { pointer: '/id', detail: 'The id names the Connection and cannot change' },
    document.clientId === record.clientId
      ? null
      : { pointer: '/clientId', detail: 'Another ClientID is another session: delete and create instead' },
    brokerIdentity(document) === record.broker
      ? null
      : {
          pointer: document.url === undefined ? '/broker' : '/url',
          detail: 'Another broker is another session: delete and create instead',
        },
  ].filter((fault) => fault !== null);
  if (faults.length > 0) throw new Problem('immutable-parameter', { detail: faults[0]?.detail ?? '', errors: faults });
}
