import { type Key, type Schedule, StoreUnavailable } from '../../bridge/ports.ts';
import type { Argument, Call, Commands } from './client.ts';
import type { Keys } from './keys.ts';
import { asNumber, asRows, asText } from './replies.ts';
import type { ScriptName } from './scripts.ts';

/**
 * When Connections are due, by the clock of Redis: sorted sets in 64 fixed slots, where a key is in the shard of its
 * hash. An entry only points: whoever takes one looks whether there is a record, and the sweep mends what is missing.
 */
export class RedisSchedule implements Schedule {
  readonly #client: Commands;
  readonly #keys: Keys;

  constructor(client: Commands, keys: Keys) {
    this.#client = client;
    this.#keys = keys;
  }

  async set(entries: readonly { readonly key: Key; readonly inMs: number }[]): Promise<void> {
    await this.#runInShards(
      'schedule-set',
      entries,
      ({ key }) => key,
      ({ key, inMs }) => [key, inMs],
    );
  }

  async cancel(keys: readonly Key[]): Promise<void> {
    const shards = Map.groupBy(keys, (key) => this.#keys.scheduleOf(key));
    await Promise.all([...shards].map(([shard, members]) => this.#client.send('ZREM', shard, ...members)));
  }

  /**
   * Within a shard the longest due are first, exactly. Of the shards each gives an equal share while there is more than
   * `limit`, as long as it has one; keys are spread over them by their hash, so what is left is about as long due.
   * It asks as many shards at a time as it has room for, from a random one on, so that nothing is taken that is not
   * answered.
   */
  async take(limit: number, holdMs: number): Promise<Key[]> {
    const taken: { key: Key; dueForMs: number }[] = [];
    let shards = rotated(this.#keys.schedules());
    let failure: StoreUnavailable | null = null;
    while (taken.length < limit && shards.length > 0) {
      const room = limit - taken.length;
      const share = Math.max(1, Math.floor(room / shards.length));
      const asked = shards.slice(0, room);
      const calls = asked.map((shard) => ({ keys: [shard], args: [share, holdMs] }));
      const replies = await this.#client.runEach('schedule-take', calls);
      const mayHaveMore: string[] = [];
      for (const [place, shard] of asked.entries()) {
        const reply = replies[place];
        if (reply instanceof StoreUnavailable) {
          failure = reply;
          continue;
        }
        const due = asRows(reply, 2).map(([key, ms]) => ({ key: asText(key) as Key, dueForMs: asNumber(ms) }));
        taken.push(...due);
        if (due.length === share) mayHaveMore.push(shard);
      }
      shards = [...shards.slice(asked.length), ...mayHaveMore];
    }
    if (failure !== null && taken.length === 0) throw failure;
    return taken.sort((a, b) => b.dueForMs - a.dueForMs).map(({ key }) => key);
  }

  async *upcoming(withinMs: number): AsyncGenerator<Key[]> {
    for (const shard of this.#keys.schedules()) {
      const reply = await this.#client.run('schedule-upcoming', [shard], [withinMs]);
      yield asRows(reply, 1).map(([key]) => asText(key) as Key);
    }
  }

  /** Makes those due that have no entry; answers how many. */
  async restore(keys: readonly Key[]): Promise<number> {
    const added = await this.#runInShards(
      'schedule-restore',
      keys,
      (key) => key,
      (key) => [key],
    );
    return added.map(asNumber).reduce((sum, count) => sum + count, 0);
  }

  /** The keys of all entries, a shard at a time. */
  async *entries(): AsyncGenerator<Key[]> {
    for (const shard of this.#keys.schedules()) {
      const reply = await this.#client.send('ZRANGE', shard, 0, -1);
      yield asRows(reply, 1).map(([key]) => asText(key) as Key);
    }
  }

  async #runInShards<T>(
    script: ScriptName,
    items: readonly T[],
    keyOf: (item: T) => Key,
    toArguments: (item: T) => Argument[],
  ): Promise<unknown[]> {
    const shards = Map.groupBy(items, (item) => this.#keys.scheduleOf(keyOf(item)));
    const calls: Call[] = [...shards].map(([shard, members]) => ({
      keys: [shard],
      args: members.flatMap(toArguments),
    }));
    const replies = await this.#client.runEach(script, calls);
    const failure = replies.find((reply) => reply instanceof StoreUnavailable);
    if (failure !== undefined) throw failure;
    return replies;
  }
}

/** From a random place on, so that those who ask at the same time do not all begin with the same. */
function rotated<T>(items: readonly T[]): T[] {
  const start = Math.floor(Math.random() * items.length);
  return [...items.slice(start), ...items.slice(0, start)];
}
