import type { Redis } from 'ioredis';
import { StoreUnavailable } from '../../bridge/ports.ts';
import type { Argument, RedisClient, Runner } from './client.ts';
import { unavailable } from './errors.ts';
import type { ScriptName } from './scripts.ts';

/** Milliseconds; below the timeout of a command, so that the count of acknowledgements is what is reported. */
const WAIT_TIMEOUT = 1_000;

/**
 * Runs scripts and resolves only once enough replicas have them too. It needs a client of its own: WAIT holds up all
 * that is sent on its connection, and leases must not be renewed late because a replica is slow.
 */
export class ReplicatedRunner implements Runner {
  readonly #client: RedisClient;
  readonly #minReplicas: number;
  /** The WAIT that is about to be sent to a server, for all writes that were answered until then. */
  readonly #waits = new Map<Redis, Promise<void>>();

  constructor(client: RedisClient, minReplicas: number) {
    this.#client = client;
    this.#minReplicas = minReplicas;
  }

  async run(script: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    const reply = await this.#client.run(script, keys, args);
    const server = this.#client.masterOf(keys[0] ?? '');
    if (server === undefined) throw new StoreUnavailable('The Redis store is not available: a slot has no master');
    await this.#replicated(server);
    return reply;
  }

  #replicated(server: Redis): Promise<void> {
    const pending = this.#waits.get(server);
    if (pending !== undefined) return pending;
    const wait = new Promise<void>((resolve, reject) => {
      setImmediate(() => {
        this.#waits.delete(server);
        this.#wait(server).then(resolve, reject);
      });
    });
    this.#waits.set(server, wait);
    return wait;
  }

  async #wait(server: Redis): Promise<void> {
    let acknowledged: number;
    try {
      acknowledged = await server.wait(this.#minReplicas, WAIT_TIMEOUT);
    } catch (error) {
      throw unavailable(error);
    }
    if (acknowledged < this.#minReplicas) {
      throw new StoreUnavailable(
        `The Redis store is not available: ${acknowledged} of ${this.#minReplicas} replicas confirmed a write`,
        { mayHaveCommitted: true },
      );
    }
  }
}
