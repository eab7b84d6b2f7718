import type { Problem } from '../../errors/problem.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import type { Bridge } from '../facade.ts';
import type { Keeper } from '../keeper.ts';
import type { Pool } from '../pool.ts';
import { type Key, StoreUnavailable } from '../ports.ts';
import { within } from '../waiting.ts';
import { Courier, NOTHING } from './courier.ts';
import { Directory } from './directory.ts';
import { Fleet } from './fleet.ts';
import { HandOver, LOOK } from './hand-over.ts';
import { perform, Router } from './router.ts';

/** How long whoever gives a Connection to this instance waits for it to be attached here. */
const ARRIVAL_MS = 1_000;

export interface InstanceOptions {
  dependencies: Pick<BridgeDependencies, 'store' | 'holder' | 'frameBox' | 'leaseTtlMs' | 'log'>;
  /** What this instance does by itself. */
  local: Bridge;
  pool: Pool;
  keeper: Pick<Keeper, 'look' | 'looking'>;
}

/** This instance among the others that share the store. */
export class Instance {
  readonly #options: InstanceOptions;
  readonly #courier: Courier;
  readonly #fleet: Fleet;
  readonly #directory: Directory;
  readonly #handOver: HandOver;
  /** Does what needs the owner of a Connection, wherever that is. */
  readonly routed: Router;

  constructor(options: InstanceOptions) {
    const { dependencies, local, pool, keeper } = options;
    const { store, holder, frameBox: box, leaseTtlMs, log } = dependencies;
    this.#options = options;
    this.#courier = new Courier({
      bus: store.bus,
      members: store.members,
      holder,
      box,
      log,
      serve: (method, args) => this.#serve(method, args),
    });
    this.#fleet = new Fleet({
      members: store.members,
      holder,
      leaseTtlMs,
      log,
      load: () => pool.allOwned().length + keeper.looking,
      onGone: (nodeId) => this.#courier.giveUpOn(nodeId),
      onReview: () => this.#review(),
    });
    this.#directory = new Directory({ store, pool, placement: this.#fleet, nodeId: holder.nodeId });
    this.#handOver = new HandOver({ fleet: this.#fleet, courier: this.#courier, pool, log });
    this.routed = new Router({
      ...{ local, courier: this.#courier, directory: this.#directory, placement: this.#fleet },
      ...{ leases: store.leases, holder },
    });
  }

  /** Resolves when this instance is one of them. Rejects while another process has its name. */
  async start(): Promise<{
    /** Whether a process that had the same name died a short while ago. */
    hasPredecessor: boolean;
  }> {
    const { store, holder } = this.#options.dependencies;
    const { bus, members } = store;
    const { nodeId } = holder;
    if (await bus.send(nodeId, NOTHING)) {
      throw new StoreUnavailable(`Another instance with the NODE_ID ${nodeId} is connected to the store`);
    }
    await this.#courier.start();
    const hasPredecessor = (await members.list()).some((member) => member.nodeId === nodeId);
    await this.#fleet.start();
    return { hasPredecessor };
  }

  /** Has another instance look at a Connection that nobody owns, if that has less to do; false when it is left to us. */
  passOn(key: Key): Promise<boolean> {
    return this.#fleet.passOn((target) => this.#handOver.tell(target, key));
  }

  /** Gives all that is owned here to the others. */
  async giveUpAll(why: Problem, leaveInMs?: number): Promise<void> {
    this.routed.close(why);
    this.#options.pool.close(why);
    await this.#fleet.close().catch(() => undefined);
    await this.#handOver.all(why, leaveInMs);
  }

  async stop(): Promise<void> {
    await this.#courier.stop();
    await this.#fleet.leave().catch(() => undefined);
  }

  async #serve(method: string, args: readonly unknown[]): Promise<unknown> {
    const { local, pool, keeper } = this.#options;
    const [first] = args;
    // What was given up must not be taken again; what has not left yet is served.
    if (pool.closed !== null && !(typeof first === 'string' && pool.isAtHand(first))) throw pool.closed;
    if (method !== LOOK) return perform(local, method, args);
    await keeper.look(first as Key);
    await within(ARRIVAL_MS, pool.get(first as Key)?.arrive() ?? Promise.resolve());
    return null;
  }

  #review(): void {
    void this.#courier.keepTime();
    this.#handOver.some().catch((err) => this.#options.dependencies.log.warn({ err }, 'handing over failed'));
  }
}
