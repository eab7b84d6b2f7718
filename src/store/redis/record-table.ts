import type { ConnectionRecord, Key, UpdateResult } from '../../bridge/ports.ts';
import { StoreUnavailable } from '../../bridge/ports.ts';
import type { Commands, Runner } from './client.ts';
import { CODES } from './errors.ts';
import type { Keys } from './keys.ts';
import { asArray, asTextOrNull } from './replies.ts';

/** Milliseconds that a create has from its first step to its last. */
export const PREPARED_FOR = 10_000;

/** The records by themselves, one slot each; `RedisConnections` adds what holds them together. */
export class RecordTable {
  readonly #client: Commands;
  readonly #durable: Runner;
  readonly #keys: Keys;

  constructor(client: Commands, durable: Runner, keys: Keys) {
    this.#client = client;
    this.#durable = durable;
    this.#keys = keys;
  }

  /** Writes a record that is not there for readers yet, and goes away by itself unless `commit` comes in time. */
  async prepare(record: ConnectionRecord): Promise<void> {
    const args = [JSON.stringify(record), record.revision, PREPARED_FOR];
    await this.#client.run('record-prepare', [this.#keys.of(record.key, 'record')], args);
  }

  async commit(key: Key): Promise<void> {
    const reply = await this.#durable.run('record-commit', [this.#keys.of(key, 'record')], []);
    if (reply === CODES.gone) throw new StoreUnavailable('The Redis store is too slow: a create took too long');
  }

  async update(revision: number, record: ConnectionRecord): Promise<UpdateResult> {
    const raised = { ...record, revision: revision + 1 };
    const args = [revision, JSON.stringify(raised), raised.revision];
    switch (await this.#durable.run('record-update', [this.#keys.of(record.key, 'record')], args)) {
      case CODES.gone:
        return 'gone';
      case CODES.otherRevision:
        return 'conflict';
      default:
        return 'updated';
    }
  }

  /** Null when there is none; `prepared` while its create is under way. */
  async find(key: Key): Promise<ConnectionRecord | 'prepared' | null> {
    const reply = await this.#client.send('HMGET', this.#keys.of(key, 'record'), 'json', 'pending');
    const [json, pending] = asArray(reply).map(asTextOrNull);
    if (typeof json !== 'string') return null;
    return pending === null ? parse(json) : 'prepared';
  }

  /** Removes the record and all that is stored under its key; answers what it was. */
  async remove(key: Key): Promise<ConnectionRecord | null> {
    const json = asTextOrNull(await this.#client.run('record-remove', this.#keys.allOf(key), []));
    return json === null ? null : parse(json);
  }
}

function parse(json: string): ConnectionRecord {
  return JSON.parse(json) as ConnectionRecord;
}
