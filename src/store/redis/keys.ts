import { createHash } from 'node:crypto';
import type { Key } from '../../bridge/ports.ts';

/** Of the list and of the schedule. Fixed for ever: changing it would strand what is in them. */
const SHARDS = 64;

/** What is kept under a Connection's key. All of it shares one hash tag, so one slot of a Cluster. */
const PARTS = [
  'record',
  'lease',
  'last-lease',
  'waiting',
  'waiting-until',
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
 * The names of everything in Redis: `PREFIX:v1:{key}:part` for a Connection; unique names, the shards of the list and
 * of the schedule, the members and what is sent to each in slots of their own. Raw ids, ClientIDs and names of
 * instances appear in no name.
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
    return this.#index(shardOf(id));
  }

  indexes(): string[] {
    return Array.from({ length: SHARDS }, (_, shard) => this.#index(shard));
  }

  /** The shard of the schedule that has a Connection's entry. */
  scheduleOf(key: Key): string {
    return this.#schedule(shardOf(key));
  }

  schedules(): string[] {
    return Array.from({ length: SHARDS }, (_, shard) => this.#schedule(shard));
  }

  members(): string {
    return `${this.#root}{members}:alive`;
  }

  /** The channel on which an instance listens. */
  framesOf(nodeId: string): string {
    return `${this.#root}{node.${digest(nodeId)}}:frames`;
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

  #schedule(shard: number): string {
    return `${this.#root}{due.${shard}}:keys`;
  }
}

function shardOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) % SHARDS;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
