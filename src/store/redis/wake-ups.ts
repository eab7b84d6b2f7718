import type { Redis } from 'ioredis';
import { Subscriber } from './subscriber.ts';

export interface WakeUpOptions {
  /** A new connection that ends when it is lost. */
  readonly newSubscriber: () => Redis;
}

/** `whom`: what the script said, '' where it said nothing, and where something may have been missed. */
type Watcher = (whom: string) => void;

/**
 * Tells watchers of what scripts did: on a channel named like the queue `append` says that it appended, on one named like
 * the lease `lease-release` and `lease-leave-line` say whose turn it is. Plain PUBLISH rather than sharded, because it
 * needs one connection whatever the topology, and one small message per group is little for a Cluster's bus. Wake-ups may
 * be superfluous: every watcher is also called once when its subscription stands, at first and after each loss of the
 * connection, since it may have missed some until then. What can still be lost is what a Cluster's nodes lose among
 * themselves.
 */
export class WakeUps {
  /** Watchers by the name of their channel. */
  readonly #channels = new Map<string, Set<Watcher>>();
  /** Connected at the first watch. */
  readonly #subscriber: Subscriber;

  constructor({ newSubscriber }: WakeUpOptions) {
    this.#subscriber = new Subscriber({
      newConnection: newSubscriber,
      subscribe: async (connection) => {
        connection.on('message', (name: string, whom: string) => this.#wake(name, whom));
        await this.#subscribe(connection, [...this.#channels.keys()]);
      },
    });
  }

  /** Each call is a watcher of its own, with a function that was given before too. */
  watch(name: string, onWake: Watcher): () => void {
    const watcher: Watcher = (whom) => onWake(whom);
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

  isWatched(name: string): boolean {
    return this.#channels.has(name);
  }

  close(): void {
    this.#channels.clear();
    this.#subscriber.close();
  }

  #unwatch(name: string, watcher: Watcher): void {
    const watchers = this.#channels.get(name);
    if (watchers === undefined || !watchers.delete(watcher) || watchers.size > 0) return;
    this.#channels.delete(name);
    this.#subscriber.connection?.unsubscribe(name).catch(() => {});
  }

  async #subscribe(connection: Redis, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await connection.subscribe(...names);
    for (const name of names) this.#wake(name, '');
  }

  #wake(name: string, whom: string): void {
    for (const watcher of [...(this.#channels.get(name) ?? [])]) watcher(whom);
  }
}
