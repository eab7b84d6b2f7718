import { Problem } from '../../errors/problem.ts';
import type { Connection } from '../connection/connection.ts';
import type { Log } from '../dependencies.ts';
import type { Bridge } from '../facade.ts';
import { notOwner } from '../link/link-problems.ts';
import { loadMqttJs } from '../link/mqtt-client.ts';
import type { Pool } from '../pool.ts';
import { Stopwatch } from '../stopwatch.ts';
import { LATE, unlessAborted, within } from '../waiting.ts';
import type { Routed } from './router.ts';

export interface OnDemandOptions {
  local: Routed;
  pool: Pick<Pool, 'byId' | 'all'>;
  /** Whether an instance lives that keeps Connections attached. */
  hasGateway: () => Promise<boolean>;
  /** See `BridgeDependencies.ending`. */
  ending: () => AbortSignal | null;
  log: Log;
}

/** Requests that use a Connection at the same time, until it is given back. */
interface Turn {
  /** Those under way; none: it is being given back. */
  users: number;
  readonly lasts: Stopwatch;
  readonly ended: PromiseWithResolvers<void>;
}

/** After that time others that wait for the lease come first. */
const TURN_MS = 250;
/** How long a request waits for the turn before its own to end. */
const PATIENCE_MS = 5_000;

/**
 * What a function does by itself: it may be frozen, or die, as soon as it has answered. So a Connection is its own for one
 * request: the lease is taken before, what is left of the network connection is proven to be alive, and all is given back
 * before the answer leaves. Requests that meet in one process share it.
 */
export class OnDemand implements Routed {
  readonly #options: OnDemandOptions;
  readonly #turns = new Map<string | null, Turn>();

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
    // Others wait for the lease while this process has it.
    loadMqttJs();
    const turn = await this.#takeTurn(id);
    // Also of an invocation that is over, whose code goes on where the process is thawed for the next.
    const ending = this.#options.ending();
    try {
      ending?.throwIfAborted();
      if (id !== null) await pool.byId(id)?.parking.awaken();
      return await (ending === null ? task(local) : this.#untilEnding(id, ending, task(local)));
    } finally {
      turn.users -= 1;
      if (turn.users === 0) {
        await this.#letGo(id, ending?.aborted ? (ending.reason as Problem) : null);
        this.#turns.delete(id);
        turn.ended.resolve();
      }
    }
  }

  /** What goes on although its invocation is over leaves nothing behind, unless another request uses that by then. */
  #untilEnding<Result>(id: string | null, ending: AbortSignal, task: Promise<Result>): Promise<Result> {
    const isOver = async () => {
      if (ending.aborted && !this.#turns.has(id)) await this.#letGo(id, ending.reason as Problem);
    };
    task.then(isOver, isOver);
    return unlessAborted(ending, task);
  }

  /** Requests that keep coming here must not keep those out that stand in line elsewhere. */
  async #takeTurn(id: string | null): Promise<Turn> {
    const waiting = new Stopwatch();
    for (let turn = this.#turns.get(id); turn !== undefined; turn = this.#turns.get(id)) {
      const isOver = turn.users > 0 && turn.lasts.elapsedMs > TURN_MS && (await this.#isAwaited(id));
      if (turn.users > 0 && !isOver) {
        turn.users += 1;
        return turn;
      }
      if ((await within(PATIENCE_MS - waiting.elapsedMs, turn.ended.promise)) === LATE) throw notOwner();
    }
    const turn = { users: 1, lasts: new Stopwatch(), ended: Promise.withResolvers<void>() };
    this.#turns.set(id, turn);
    return turn;
  }

  async #isAwaited(id: string | null): Promise<boolean> {
    const connection = id === null ? undefined : this.#options.pool.byId(id);
    return connection !== undefined && (await connection.parking.isAwaited());
  }

  /**
   * What cannot be given back ends by itself: the lease with its time, the session as the broker sees it. `hurry`: why
   * there is no time to wait for what is under way.
   */
  async #letGo(id: string | null, hurry: Problem | null = null): Promise<void> {
    const { pool, log } = this.#options;
    const used = pool.all().filter((connection) => (id === null ? connection.isPublisher : connection.id === id));
    const letGo = (connection: Connection) =>
      connection.parking
        .letGo(hurry)
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
