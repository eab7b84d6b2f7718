import type { Redis } from 'ioredis';
import type { Key } from '../../bridge/ports.ts';
import type { Commands } from './client.ts';
import { backoff } from './connect.ts';
import type { Keys } from './keys.ts';
import { asTextOrNull } from './replies.ts';

/** Milliseconds between the questions that find out whether a silent connection still exists. */
const HEARTBEAT = 5_000;

interface Channel {
  readonly watchers: Set<() => void>;
  /** The serial number of the queue's newest message when the first watcher came; null when Redis did not say. */
  readonly before: Promise<string | null>;
  readonly key: Key;
  subscribed: boolean;
}

export interface WakeUpOptions {
  readonly client: Commands;
  readonly keys: Keys;
  /** A new connection that ends when it is lost. */
  readonly newSubscriber: () => Redis;
}

/**
 * Tells watchers that something was appended. `append` publishes on a channel named like the queue; plain PUBLISH
 * rather than sharded, because it needs one connection whatever the topology, and one small message per group is
 * little for a Cluster's bus. Wake-ups carry nothing and may be superfluous; none is missed:
 * - what is appended while a subscription is being made is found by comparing the queue's serial number, as it was
 *   when the watcher came, with the one after the subscription;
 * - after the connection was lost, every watcher is called.
 */
export class WakeUps {
  readonly #options: WakeUpOptions;
  readonly #channels = new Map<string, Channel>();
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
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { key, watchers: new Set(), before: this.#serial(key), subscribed: false };
      this.#channels.set(name, channel);
      if (this.#subscriber === null) this.#connect();
      // One that is not ready yet subscribes to all channels when it is.
      else if (this.#subscriber.status === 'ready') void this.#subscribe(this.#subscriber, [name]);
    }
    channel.watchers.add(watcher);
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
    const channel = this.#channels.get(name);
    if (channel === undefined || !channel.watchers.delete(watcher) || channel.watchers.size > 0) return;
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
    await Promise.all(names.map((name) => this.#catchUp(name)));
  }

  async #catchUp(name: string): Promise<void> {
    const channel = this.#channels.get(name);
    if (channel === undefined) return;
    const again = channel.subscribed;
    channel.subscribed = true;
    const before = again ? null : await channel.before;
    if (before === null || before !== (await this.#serial(channel.key))) this.#wake(name);
  }

  #wake(name: string): void {
    for (const watcher of [...(this.#channels.get(name)?.watchers ?? [])]) watcher();
  }

  /** Grows with every message that is stored; null when Redis cannot be asked. */
  #serial(key: Key): Promise<string | null> {
    const reply = this.#options.client.send('HGET', this.#options.keys.of(key, 'counters'), 'serial');
    return reply.then(
      (serial) => asTextOrNull(serial) ?? '0',
      () => null,
    );
  }
}
