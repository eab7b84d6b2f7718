import type { Problem } from '../../errors/problem.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import type { Pool } from '../pool.ts';
import { Courier } from './courier.ts';
import { Directory } from './directory.ts';
import { Gateways } from './gateways.ts';
import { OnDemand } from './on-demand.ts';
import { type Routed, Router } from './router.ts';

export interface FunctionInstanceOptions {
  dependencies: Pick<BridgeDependencies, 'store' | 'holder' | 'frameBox' | 'ending' | 'log'>;
  /** What this process does by itself. */
  local: Routed;
  pool: Pool;
}

/**
 * A process of a function beside the instances that stay: it asks them for what they own or can own, and does the rest
 * itself, one request at a time. Nobody asks it for anything.
 */
export class FunctionInstance {
  readonly #pool: Pool;
  readonly #courier: Courier;
  readonly routed: Router;
  readonly #gateways: Gateways;

  constructor({ dependencies, local, pool }: FunctionInstanceOptions) {
    const { store, holder, frameBox: box, ending, log } = dependencies;
    const gateways = new Gateways(store.members);
    const onDemand = new OnDemand({ local, pool, ending, log, hasGateway: () => gateways.exist() });
    this.#gateways = gateways;
    this.#pool = pool;
    this.#courier = new Courier({
      bus: store.bus,
      members: store.members,
      holder,
      box,
      log,
      mayFreeze: true,
      serve: () => Promise.reject(new Error('A function is asked for nothing')),
    });
    const directory = new Directory({ store, pool, placement: gateways, nodeId: holder.nodeId });
    this.routed = new Router({
      ...{ local: onDemand, courier: this.#courier, directory, placement: gateways },
      ...{ leases: store.leases, holder },
    });
  }

  start(): Promise<void> {
    return this.#courier.start();
  }

  /** Whether an instance lives that stays: what is due is that one's business. */
  hasGateway(): Promise<boolean> {
    return this.#gateways.exist();
  }

  async giveUpAll(why: Problem): Promise<void> {
    this.routed.close(why);
    await Promise.all(this.#pool.all().map((connection) => connection.stop(why)));
  }

  stop(): Promise<void> {
    return this.#courier.stop();
  }
}
