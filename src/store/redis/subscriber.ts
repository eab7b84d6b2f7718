import type { Redis } from 'ioredis';
import { backoff } from './connect.ts';

/** Milliseconds between the questions that find out whether a silent connection still exists. */
const HEARTBEAT = 5_000;

export interface SubscriberOptions {
  /** A new connection that ends when it is lost; not connected yet. */
  newConnection(): Redis | Promise<Redis>;
  /** Takes a connection that is ready into use. It ends when this rejects. */
  subscribe(connection: Redis): Promise<void>;
  /** Asked now and then of a connection that answers: whether it is still in the right place. */
  isWanted?(connection: Redis): Promise<boolean>;
}

/**
 * Keeps a connection for subscriptions alive: one that was lost, or is not wanted any more, is followed by another,
 * after pauses that grow.
 */
export class Subscriber {
  readonly #options: SubscriberOptions;
  #connection: Redis | null = null;
  #retry: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #attempts = 0;
  #started = false;
  #closed = false;

  constructor(options: SubscriberOptions) {
    this.#options = options;
  }

  /** The connection, while it is ready. */
  get connection(): Redis | null {
    return this.#connection?.status === 'ready' ? this.#connection : null;
  }

  /** Idempotent. */
  start(): void {
    if (!this.#started) void this.#connect();
    this.#started = true;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#heartbeat);
    this.#connection?.disconnect();
  }

  async #connect(): Promise<void> {
    if (this.#closed) return;
    let connection: Redis;
    try {
      connection = await this.#options.newConnection();
    } catch {
      this.#lost();
      return;
    }
    if (this.#closed) return;
    this.#connection = connection;
    // Its end says the same.
    connection.on('error', () => {});
    connection.once('ready', () => void this.#use(connection));
    connection.once('end', () => this.#lost());
    connection.connect().catch(() => {});
  }

  async #use(connection: Redis): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => void this.#look(connection), HEARTBEAT).unref();
    try {
      await this.#options.subscribe(connection);
      this.#attempts = 0;
    } catch {
      connection.disconnect();
    }
  }

  async #look(connection: Redis): Promise<void> {
    try {
      await connection.ping();
      if ((await this.#options.isWanted?.(connection)) !== false) return;
    } catch {}
    connection.disconnect();
  }

  #lost(): void {
    clearInterval(this.#heartbeat);
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.#connect(), backoff(this.#attempts));
    this.#attempts += 1;
  }
}
