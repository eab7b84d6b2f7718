import type { Key } from '../../bridge/ports.ts';
import type { Commands } from './client.ts';
import type { Keys } from './keys.ts';
import { asArray, asBytes } from './replies.ts';

/** Neither an id nor a key has it, and it is before every character that they may have. */
const SEPARATOR = '\0';
const AFTER_SEPARATOR = '\x01';

export interface IndexEntry {
  readonly id: string;
  readonly key: Key;
}

/**
 * The list of Connections in the order of their ids, in 64 fixed slots: sorted sets whose members all have the same
 * score are in the order of their bytes, and UTF-8 keeps that of code points. A member is `id NUL key`, so that a
 * leftover of an earlier Connection of that id is a member of its own. An entry only points: it counts if its record
 * exists.
 */
export class RecordIndex {
  readonly #client: Commands;
  readonly #keys: Keys;

  constructor(client: Commands, keys: Keys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** Answers whether it was not there. Idempotent. */
  async add(entry: IndexEntry): Promise<boolean> {
    return (await this.#client.send('ZADD', this.#keys.indexOf(entry.id), 0, toMember(entry))) === 1;
  }

  /** Idempotent. */
  async remove(entry: IndexEntry): Promise<void> {
    await this.#client.send('ZREM', this.#keys.indexOf(entry.id), toMember(entry));
  }

  /** The first entries, in order, after all of that id, after just that entry, or from the start. */
  async after(from: string | IndexEntry | null, limit: number): Promise<IndexEntry[]> {
    const shards = await Promise.all(
      this.#keys
        .indexes()
        .map((index) => this.#client.send('ZRANGEBYLEX', index, lowerBound(from), '+', 'LIMIT', 0, limit)),
    );
    return shards
      .flatMap((members) => asArray(members).map(asBytes))
      .sort(Buffer.compare)
      .slice(0, limit)
      .map(toEntry);
  }
}

function lowerBound(from: string | IndexEntry | null): string {
  if (from === null) return '-';
  return typeof from === 'string' ? `(${from}${AFTER_SEPARATOR}` : `(${toMember(from)}`;
}

function toMember({ id, key }: IndexEntry): string {
  return `${id}${SEPARATOR}${key}`;
}

function toEntry(member: Buffer): IndexEntry {
  const text = member.toString();
  const separator = text.lastIndexOf(SEPARATOR);
  return { id: text.slice(0, separator), key: text.slice(separator + 1) as Key };
}
