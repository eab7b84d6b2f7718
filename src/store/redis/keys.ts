import { createHash } from 'node:crypto';
import type { Key } from '../../bridge/ports.ts';

/** Fixed for ever: changing it would strand what is listed. */
const INDEX_SHARDS = 64;

/** What is kept under a Connection's key. All of it shares one hash tag, so one slot of a Cluster. */
const PARTS = [
  'record',
  'lease',
  'last-lease',
  'session',
  'queue',
  'counters',
  'received',
  'exchanges',
  'publications',
  'publication-keys',
  'publication-expiry',
  'outbox',
] as const;
export type Part = (typeof PARTS)[number];

/**
 * The names of everything in Redis: `PREFIX:v1:{key}:part` for a Connection; unique names and the shards of the list
 * in slots of their own. Raw ids and ClientIDs appear in no name.
 */
export class Keys {
  readonly #root: string;

  constructor(prefix: string) {
    if (/[{}]/.test(prefix)) throw new Error('The store prefix must not contain braces: they place keys in a Cluster');
    this.#root = `${prefix}:v1:`;
  }

  of(key: Key, part: Part): string {
    return `${this.#root}{${key}}:${part}`;
  }

  /** Every name under a Connection's key, the record's first. */
  allOf(key: Key): string[] {
    return PARTS.map((part) => this.of(key, part));
  }

  claimOfId(id: string): string {
    return `${this.#root}{id.${digest(id)}}:claim`;
  }

  claimOfClientId(broker: string, clientId: string): string {
    return `${this.#root}{client.${digest(`${broker}\0${clientId}`)}}:claim`;
  }

  /** The shard of the list that a Connection of this id is in. */
  indexOf(id: string): string {
    return this.#index(createHash('sha256').update(id).digest().readUInt32BE(0) % INDEX_SHARDS);
  }

  indexes(): string[] {
    return Array.from({ length: INDEX_SHARDS }, (_, shard) => this.#index(shard));
  }

  /** A pattern for SCAN that every record's name matches. */
  recordPattern(): string {
    return `${this.#root.replaceAll(/[\\*?[\]]/g, '\\$&')}{*}:record`;
  }

  /** The key in a record's name. */
  keyOfRecord(name: string): Key {
    return name.slice(this.#root.length + 1, name.lastIndexOf('}')) as Key;
  }

  #index(shard: number): string {
    return `${this.#root}{index.${shard}}:ids`;
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
