import type { Redis } from 'ioredis';
import { type Bus, type Listening, StoreUnavailable } from '../../bridge/ports.ts';
import type { RedisClient } from './client.ts';
import { within } from './connect.ts';
import type { Keys } from './keys.ts';
import { asNumber } from './replies.ts';
import { Subscriber } from './subscriber.ts';

/** Milliseconds that a subscription has to stand for the first time. */
const LISTEN_TIMEOUT = 5_000;

export interface BusOptions {
  readonly client: RedisClient;
  readonly keys: Keys;
  /** A new connection, that ends when it is lost, to the master of a channel's slot as far as the client knows it. */
  readonly newSubscriber: (channel: string) => Redis;
}

/**
 * Frames between instances by sharded PUBLISH: each instance has a channel, in a slot of its own, and listens at the
 * master of that slot, which is where the frames are sent to and where the listeners are counted. Redis drops a
 * listener that lags by more than `client-output-buffer-limit pubsub` (32 MB unless set otherwise): its connection is
 * made again, and what was in the buffer is lost.
 */
export class RedisBus implements Bus {
  readonly #options: BusOptions;
  readonly #subscribers = new Set<Subscriber>();
  #closed = false;

  constructor(options: BusOptions) {
    this.#options = options;
  }

  async listen(nodeId: string, onFrame: (frame: Uint8Array) => void): Promise<Listening> {
    if (this.#closed) throw new StoreUnavailable('The store is closed');
    const channel = this.#options.keys.framesOf(nodeId);
    const stands = Promise.withResolvers<void>();
    let subscribed: Redis | null = null;
    const subscriber = new Subscriber({
      newConnection: async () => {
        // Asked of the slot, so that a Cluster's client follows it to where it is by now.
        await this.#options.client.send('EXISTS', channel);
        return this.#options.newSubscriber(channel);
      },
      subscribe: async (connection) => {
        connection.on('smessageBuffer', (_channel: Buffer, frame: Buffer) => {
          if (this.#subscribers.has(subscriber)) onFrame(frame);
        });
        connection.once('moved', () => connection.disconnect());
        await connection.ssubscribe(channel);
        subscribed = connection;
        stands.resolve();
      },
      isWanted: () => this.#isHeard(channel),
    });
    const stop = () => {
      this.#subscribers.delete(subscriber);
      subscriber.close();
    };
    this.#subscribers.add(subscriber);
    subscriber.start();
    try {
      await within(LISTEN_TIMEOUT, stands.promise);
    } catch (error) {
      stop();
      throw error;
    }
    return {
      get isUp() {
        return subscribed !== null && subscriber.connection === subscribed;
      },
      stop,
    };
  }

  async send(nodeId: string, frame: Uint8Array): Promise<boolean> {
    const { client, keys } = this.#options;
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    return asNumber(await client.send('SPUBLISH', keys.framesOf(nodeId), bytes)) > 0;
  }

  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers) subscriber.close();
    this.#subscribers.clear();
  }

  /**
   * Whether there is a listener where frames are sent to now: a master that became a replica keeps its listeners, and
   * nothing tells them. True when it cannot be asked.
   */
  async #isHeard(channel: string): Promise<boolean> {
    const master = this.#options.client.masterOf(channel);
    const reply = await master?.call('PUBSUB', 'SHARDNUMSUB', channel).catch(() => null);
    return !Array.isArray(reply) || Number(reply[1]) > 0;
  }
}
