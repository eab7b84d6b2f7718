import type { Redis } from 'ioredis';
import type { Key } from '../../bridge/ports.ts';
import type { Keys } from './keys.ts';
import { Subscriber } from './subscriber.ts';

export interface WakeUpOptions {
  readonly keys: Keys;
  /** A new connection that ends when it is lost. */
  readonly newSubscriber: () => Redis;
}

/**
 * Tells watchers that something was appended. `append` publishes on a channel named like the queue; plain PUBLISH
 * rather than sharded, because it needs one connection whatever the topology, and one small message per group is
 * little for a Cluster's bus. Wake-ups carry nothing and may be superfluous: every watcher is also called once when
 * its subscription stands, at first and after each loss of the connection, since it may have missed some until then.
 * What can still be lost is what a Cluster's nodes lose among themselves.
 */
export class WakeUps {
  readonly #keys: Keys;
  /** Watchers by the name of their channel. */
  readonly #channels = new Map<string, Set<() => void>>();
  /** Connected at the first watch. */
  readonly #subscriber: Subscriber;

  constructor({ keys, newSubscriber }: WakeUpOptions) {
    this.#keys = keys;
    this.#subscriber = new Subscriber({
      newConnection: newSubscriber,
      subscribe: async (connection) => {
        connection.on('message', (name: string) => this.#wake(name));
        await this.#subscribe(connection, [...this.#channels.keys()]);
      },
    });
  }

  /** Each call is a watcher of its own, with a function that was given before too. */
  watch(key: Key, onAppend: () => void): () => void {
    const name = this.#keys.of(key, 'queue');
    const watcher = () => onAppend();
    const watchers = this.#channels.get(name);
    if (watchers === undefined) {
      this.#channels.set(name, new Set([watcher]));
      this.#subscriber.start();
      // One that is not ready yet subscribes to all channels when it is.
      const { connection } = this.#subscriber;
      if (connection !== null) this.#subscribe(connection, [name]).catch(() => connection.disconnect());
    } else {
      watchers.add(watcher);
    }
    return () => this.#unwatch(name, watcher);
  }

  close(): void {
    this.#channels.clear();
    this.#subscriber.close();
  }

  #unwatch(name: string, watcher: () => void): void {
    const watchers = this.#channels.get(name);
    if (watchers === undefined || !watchers.delete(watcher) || watchers.size > 0) return;
    this.#channels.delete(name);
    this.#subscriber.connection?.unsubscribe(name).catch(() => {});
  }

  async #subscribe(connection: Redis, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await connection.subscribe(...names);
    for (const name of names) this.#wake(name);
  }

  #wake(name: string): void {
    for (const watcher of [...(this.#channels.get(name) ?? [])]) watcher();
  }
}
