import { Problem } from '../../errors/problem.ts';
import type { Connection } from '../connection/connection.ts';
import type { Log } from '../dependencies.ts';
import type { Bridge } from '../facade.ts';
import type { Pool } from '../pool.ts';
import type { Routed } from './router.ts';

export interface OnDemandOptions {
  local: Routed;
  pool: Pick<Pool, 'byId' | 'all'>;
  /** Whether an instance lives that keeps Connections attached. */
  hasGateway: () => Promise<boolean>;
  log: Log;
}

/**
 * What a function does by itself: it may be frozen, or die, as soon as it has answered. So a Connection is its own for one
 * request: the lease is taken before, what is left of the network connection is proven to be alive, and all is given back
 * before the answer leaves. Requests that meet in one process share it.
 */
export class OnDemand implements Routed {
  readonly #options: OnDemandOptions;
  /** Requests under way, by Connection. */
  readonly #users = new Map<string | null, number>();

  constructor(options: OnDemandOptions) {
    this.#options = options;
  }

  openConnection: Bridge['openConnection'] = async (input) => {
    const { id, hold } = input.parameters;
    await this.#requireGatewayFor(hold);
    if (id !== undefined) return this.#during(id, (local) => local.openConnection(input));
    const opened = await this.#options.local.openConnection(input);
    await this.#letGo(opened.connection.id);
    return opened;
  };
  declareConnection: Bridge['declareConnection'] = async (id, input) => {
    await this.#requireGatewayFor(input.parameters.hold);
    return this.#during(id, (local) => local.declareConnection(id, input));
  };
  patchConnection: Bridge['patchConnection'] = async (id, patch) => {
    await this.#requireGatewayFor(patch.hold);
    return this.#during(id, (local) => local.patchConnection(id, patch));
  };
  deleteConnection: Bridge['deleteConnection'] = (id, how) =>
    this.#during(id, (local) => local.deleteConnection(id, how));
  attachConnection: Bridge['attachConnection'] = (id) => this.#during(id, (local) => local.attachConnection(id));
  detachConnection: Bridge['detachConnection'] = (id, how) =>
    this.#during(id, (local) => local.detachConnection(id, how));
  publish: Bridge['publish'] = (id, requests) => this.#during(id, (local) => local.publish(id, requests));
  publishKept: Bridge['publishKept'] = (id, request) => this.#during(id, (local) => local.publishKept(id, request));
  addSubscriptions: Bridge['addSubscriptions'] = (id, requests) =>
    this.#during(id, (local) => local.addSubscriptions(id, requests));
  removeSubscription: Bridge['removeSubscription'] = (id, filter) =>
    this.#during(id, (local) => local.removeSubscription(id, filter));
  drain: Routed['drain'] = (id, budgetMs, drains) => this.#during(id, (local) => local.drain(id, budgetMs, drains));

  publishPooled: Bridge['publishPooled'] = (broker, requests) =>
    this.#during(null, (local) => local.publishPooled(broker, requests));
  publishPooledKept: Bridge['publishPooledKept'] = (broker, request) =>
    this.#during(null, (local) => local.publishPooledKept(broker, request));

  /** `id`: the Connection that is used; null: the publishers. */
  async #during<Result>(id: string | null, task: (local: Routed) => Promise<Result>): Promise<Result> {
    const { local, pool } = this.#options;
    this.#users.set(id, (this.#users.get(id) ?? 0) + 1);
    try {
      if (id !== null) await pool.byId(id)?.parking.awaken();
      return await task(local);
    } finally {
      const left = (this.#users.get(id) ?? 1) - 1;
      if (left > 0) this.#users.set(id, left);
      else {
        this.#users.delete(id);
        await this.#letGo(id);
      }
    }
  }

  /** What cannot be given back ends by itself: the lease with its time, the session as the broker sees it. */
  async #letGo(id: string | null): Promise<void> {
    const { pool, log } = this.#options;
    if (this.#users.has(id)) return;
    const used = pool.all().filter((connection) => (id === null ? connection.isPublisher : connection.id === id));
    const letGo = (connection: Connection) =>
      connection.parking
        .letGo()
        .catch((err) => log.warn({ err, key: connection.key }, 'a Connection could not be given back'));
    await Promise.all(used.map(letGo));
  }

  /** A function cannot keep anything attached. */
  async #requireGatewayFor(hold: unknown): Promise<void> {
    if (hold === 'always' && !(await this.#options.hasGateway())) {
      throw new Problem('no-gateway', { detail: '`hold` "always" needs an instance that stays: use "onDemand"' });
    }
  }
}
