import type { Connection } from './connection/connection.ts';
import type { Connections } from './connections.ts';
import type { Key } from './ports.ts';

/** Takes in what brokers kept for parked Connections, for who reads their queues. Readers of one share a drain. */
export class Drains {
  readonly #connections: Pick<Connections, 'live'>;
  readonly #running = new Map<Key, Promise<boolean>>();
  readonly #stopping = new AbortController();

  constructor(connections: Pick<Connections, 'live'>) {
    this.#connections = connections;
  }

  /**
   * Whether the broker had sent all within that time; null when there is nothing to drain. `drains`: how many there had
   * been when this was asked for.
   */
  async drain(id: string, budgetMs: number, drains: number): Promise<boolean | null> {
    const connection = await this.#connections.live(id);
    const running = this.#running.get(connection.key);
    if (running !== undefined) return running;
    if (!connection.parking.isToDrain) return null;
    const drain = this.#drain(connection, budgetMs, drains).finally(() => this.#running.delete(connection.key));
    this.#running.set(connection.key, drain);
    return drain;
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #drain(connection: Connection, budgetMs: number, drains: number): Promise<boolean> {
    await connection.own();
    // Whoever had the lease meanwhile may have drained it since this was asked for.
    if (connection.status.drains !== drains) return true;
    return connection.parking.drain(budgetMs, this.#stopping.signal);
  }
}
