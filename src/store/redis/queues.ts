import type { Fence, Key, Position, QueuedMessage, QueuePage, QueueStats, Queues } from '../../bridge/ports.ts';
import type { IncomingMessage } from '../../mqtt/message.ts';
import { decodeMessage } from '../message-codec.ts';
import type { Commands } from './client.ts';
import { unlessStale } from './errors.ts';
import type { Keys } from './keys.ts';
import { asArray, asBytes, asNumber, asRows, asText } from './replies.ts';
import type { WakeUps } from './wake-ups.ts';

/** A page ends after the message that passes this many bytes, whatever the limit: it is held in memory twice. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** How many one call of a script removes, so that it never holds Redis up for long. */
const REMOVE_AT_ONCE = 1_000;

/** A stream's id as Redis prints it: milliseconds and a sequence number. Fifteen digits are enough for 30,000 years. */
const POSITION = /^[1-9]\d{0,14}-(?:0|[1-9]\d{0,14})$/;

/** Queues are streams with ids given by Redis: they grow even after a fail-over that lost some, so none is used twice. */
export class RedisQueues implements Queues {
  readonly #client: Commands;
  readonly #keys: Keys;
  readonly #wakeUps: WakeUps;

  constructor(client: Commands, keys: Keys, wakeUps: WakeUps) {
    this.#client = client;
    this.#keys = keys;
    this.#wakeUps = wakeUps;
  }

  async read(key: Key, after: Position | null, limit: number): Promise<QueuePage> {
    const messages: QueuedMessage[] = [];
    const expired: Position[] = [];
    let bytes = 0;
    let from: string = after ?? '';
    for (;;) {
      const args = [from, limit - messages.length, PAGE_BYTES - bytes];
      const [now, remaining, found] = asArray(await this.#client.run('read', this.#names(key), args));
      for (const [id, encoded] of asRows(found, 2)) {
        const position = asText(id) as Position;
        const message = decodeMessage(asBytes(encoded));
        bytes += asBytes(encoded).length;
        from = position;
        if (isExpired(message, storedAt(position), asNumber(now))) expired.push(position);
        else messages.push({ position, message, deliveryCount: 0 });
      }
      const isFull = messages.length >= limit || (bytes >= PAGE_BYTES && messages.length > 0);
      if (isFull || remaining === 0) {
        await this.removeEach(key, expired);
        return { messages, remaining: asNumber(remaining) };
      }
      // A page without messages would leave its reader where it was: on past those that have expired.
      if (bytes >= PAGE_BYTES) bytes = 0;
    }
  }

  async removeThrough(key: Key, through: Position): Promise<number> {
    let total = 0;
    for (;;) {
      const removed = asNumber(await this.#client.run('remove-through', this.#names(key), [through, REMOVE_AT_ONCE]));
      total += removed;
      if (removed < REMOVE_AT_ONCE) return total;
    }
  }

  async removeEach(key: Key, positions: readonly Position[]): Promise<number> {
    let total = 0;
    for (let start = 0; start < positions.length; start += REMOVE_AT_ONCE) {
      const some = positions.slice(start, start + REMOVE_AT_ONCE);
      total += asNumber(await this.#client.run('remove-each', this.#names(key), some));
    }
    return total;
  }

  async stats(key: Key): Promise<QueueStats> {
    const [depth, bytes, dropped] = asArray(await this.#client.run('stats', this.#names(key), [])).map(asNumber);
    return { depth: depth ?? 0, bytes: bytes ?? 0, dropped: dropped ?? 0 };
  }

  async countDropped({ key, epoch }: Fence, count: number): Promise<void> {
    const names = [this.#keys.of(key, 'lease'), this.#keys.of(key, 'counters')];
    unlessStale(await this.#client.run('count-dropped', names, [epoch, count]));
  }

  isPosition(text: string): text is Position {
    return POSITION.test(text);
  }

  compare(a: Position, b: Position): number {
    return storedAt(a) - storedAt(b) || sequence(a) - sequence(b);
  }

  watch(key: Key, onAppend: () => void): () => void {
    return this.#wakeUps.watch(this.#keys.of(key, 'queue'), onAppend);
  }

  #names(key: Key): string[] {
    return [this.#keys.of(key, 'queue'), this.#keys.of(key, 'counters')];
  }
}

/** Milliseconds by the clock of Redis: the first part of a position. */
function storedAt(position: Position): number {
  return Number(position.slice(0, position.indexOf('-')));
}

/** Tells positions of the same millisecond apart. */
function sequence(position: Position): number {
  return Number(position.slice(position.indexOf('-') + 1));
}

/** Whether the Message Expiry Interval, which counts from when the message was stored, has passed. [MQTT-3.3.2-5] */
function isExpired({ properties }: IncomingMessage, since: number, now: number): boolean {
  const interval = properties?.messageExpiryInterval;
  return interval !== undefined && since + interval * 1000 <= now;
}
