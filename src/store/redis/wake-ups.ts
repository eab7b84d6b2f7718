import type { Redis } from 'ioredis';
import type { Key } from '../../bridge/ports.ts';
import { backoff } from './connect.ts';
import type { Keys } from './keys.ts';

/** Milliseconds between the questions that find out whether a silent connection still exists. */
const HEARTBEAT = 5_000;

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
  readonly #options: WakeUpOptions;
  /** Watchers by the name of their channel. */
  readonly #channels = new Map<string, Set<() => void>>();
  /** Connected at the first watch. */
  #subscriber: Redis | null = null;
  #retry: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #attempts = 0;
  #closed = false;

  constructor(options: WakeUpOptions) {
    this.#options = options;
  }

  /** Each call is a watcher of its own, with a function that was given before too. */
  watch(key: Key, onAppend: () => void): () => void {
    const name = this.#options.keys.of(key, 'queue');
    const watcher = () => onAppend();
    const watchers = this.#channels.get(name);
    if (watchers === undefined) {
      this.#channels.set(name, new Set([watcher]));
      if (this.#subscriber === null) this.#connect();
      // One that is not ready yet subscribes to all channels when it is.
      else if (this.#subscriber.status === 'ready') void this.#subscribe(this.#subscriber, [name]);
    } else {
      watchers.add(watcher);
    }
    return () => this.#unwatch(name, watcher);
  }

  close(): void {
    this.#closed = true;
    this.#channels.clear();
    clearTimeout(this.#retry);
    clearInterval(this.#heartbeat);
    this.#subscriber?.disconnect();
  }

  #unwatch(name: string, watcher: () => void): void {
    const watchers = this.#channels.get(name);
    if (watchers === undefined || !watchers.delete(watcher) || watchers.size > 0) return;
    this.#channels.delete(name);
    if (this.#subscriber?.status === 'ready') this.#subscriber.unsubscribe(name).catch(() => {});
  }

  #connect(): void {
    if (this.#closed) return;
    const subscriber = this.#options.newSubscriber();
    this.#subscriber = subscriber;
    // Its end says the same.
    subscriber.on('error', () => {});
    subscriber.on('message', (name: string) => this.#wake(name));
    subscriber.once('ready', () => void this.#resume(subscriber));
    subscriber.once('end', () => this.#lost());
    subscriber.connect().catch(() => {});
  }

  async #resume(subscriber: Redis): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => subscriber.ping().catch(() => subscriber.disconnect()), HEARTBEAT).unref();
    this.#attempts = 0;
    await this.#subscribe(subscriber, [...this.#channels.keys()]);
  }

  #lost(): void {
    clearInterval(this.#heartbeat);
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#connect(), backoff(this.#attempts));
    this.#attempts += 1;
  }

  async #subscribe(subscriber: Redis, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    try {
      await subscriber.subscribe(...names);
    } catch {
      subscriber.disconnect();
      return;
    }
    for (const name of names) this.#wake(name);
  }

  #wake(name: string): void {
    for (const watcher of [...(this.#channels.get(name) ?? [])]) watcher();
  }
}
