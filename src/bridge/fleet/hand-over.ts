import type { Problem } from '../../errors/problem.ts';
import type { Connection } from '../connection/connection.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import { notOwner } from '../link/link-problems.ts';
import { byIdleness, type Pool } from '../pool.ts';
import type { Key } from '../ports.ts';
import { within } from '../waiting.ts';
import type { Courier } from './courier.ts';
import type { Fleet } from './fleet.ts';

/** What another instance is asked to do with a Connection that was given back. */
export const LOOK = 'look';
const LOOK_WITHIN_MS = 5_000;
/** Connections that a stopping instance has on their way to others at the same time. */
const LEAVING_AT_ONCE = 100;
/** How long it does that when it is not told. */
const LEAVE_IN_MS = 4_000;
/** Connections that move to another instance at each review at most: a part of all, and so many. */
const MOVED_AT_ONCE = { part: 0.01, connections: 5 };

export interface HandOverOptions {
  fleet: Pick<Fleet, 'moveElsewhere' | 'leastLoaded'>;
  courier: Pick<Courier, 'call'>;
  pool: Pool;
  log: BridgeDependencies['log'];
}

/**
 * Gives Connections to other instances without waiting for a lease to end: what is under way is acknowledged, DISCONNECT
 * is sent and the lease given back, then the next owner is told. A lost word is made up for by the schedule.
 */
export class HandOver {
  readonly #options: HandOverOptions;

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  /**
   * All that this instance owns, because it stops: each leaves when one before it has arrived elsewhere, so that none is
   * without an owner for long; those that have not left after `leaveInMs` leave together.
   */
  async all(why: Problem, leaveInMs = LEAVE_IN_MS): Promise<void> {
    const { pool, fleet } = this.#options;
    const waiting = pool.all();
    const leaving: Promise<unknown>[] = [];
    const give = (connection: Connection) => {
      const given = this.#give(connection, fleet.leastLoaded(), why);
      leaving.push(given);
      return given;
    };
    const giveInTurn = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await (await give(next)).arrived;
    };
    await within(leaveInMs, Promise.all(Array.from({ length: LEAVING_AT_ONCE }, giveInTurn)));
    for (const connection of waiting.splice(0)) give(connection);
    await Promise.all(leaving);
  }

  /** A few of those whose sessions outlive that, while another instance has clearly less to do. */
  async some(): Promise<void> {
    const { pool, fleet, log } = this.#options;
    const owned = pool.allOwned();
    const movable = owned.filter(({ parking }) => parking.isMovable).sort(byIdleness);
    const most = MOVED_AT_ONCE.connections + Math.floor(owned.length * MOVED_AT_ONCE.part);
    for (const connection of movable.slice(0, most)) {
      const target = fleet.moveElsewhere();
      if (target === null) return;
      log.debug({ key: connection.key, target }, 'handing over');
      await this.#give(connection, target, notOwner());
    }
  }

  /** Asks another instance to look at a Connection that nobody owns. Resolves when it is attached, or will be some time. */
  async tell(target: string, key: Key): Promise<void> {
    await this.#options.courier.call(target, LOOK, [key], LOOK_WITHIN_MS);
  }

  /** Resolves when this instance has it no more; `arrived`, when another one has, as far as is known. */
  async #give(connection: Connection, target: string | null, why: Problem): Promise<{ arrived: Promise<void> }> {
    const isToAttach = await connection.stop(why);
    this.#options.pool.forget(connection);
    const isAwaited = isToAttach && target !== null;
    return { arrived: isAwaited ? this.tell(target, connection.key).catch(() => undefined) : Promise.resolve() };
  }
}
