import { setTimeout as pause } from 'node:timers/promises';
import { Problem } from '../errors/problem.ts';
import { Connection, type ConnectionDependencies } from './connection/connection.ts';
import { Turns } from './connection/turns.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Documents } from './documents.ts';
import type { Dialer } from './link/dial.ts';
import { notOwner } from './link/link-problems.ts';
import { LeaseClock } from './ownership/lease-clock.ts';
import { Renewals } from './ownership/renewals.ts';
import type { ConnectionRecord, Key } from './ports.ts';
import { Stopwatch } from './stopwatch.ts';

/** Connections that are being attached to one broker at the same time. */
const ATTACHING_AT_ONCE = 100;
const TIDYING_INTERVAL_MS = 1_000;
/** How long a Connection that is attached on demand stays so for the next request, in milliseconds. */
const LINGER_MS = 5_000;
/** How long a publisher keeps a network connection that nobody uses. */
const PUBLISHER_LINGER_MS = 600_000;
/** How long one that is to be attached waits for room, and how often it looks for some, in milliseconds. */
const ROOM_WITHIN_MS = 3_000;
const ROOM_INTERVAL_MS = 50;
/** How long one that does nothing is remembered: who has obtained it uses it at once. */
const FORGOTTEN_AFTER_MS = 30_000;

/** The Connections that are alive in this process: their leases, and how many may be attached. */
export class Pool {
  readonly #deps: BridgeDependencies & ConnectionDependencies;
  readonly #connections = new Map<Key, Connection>();
  readonly #byId = new Map<string, Connection>();
  /** Those that are attached, or may be. */
  readonly #admitted = new Set<Key>();
  readonly #renewals: Renewals;
  #closed: Problem | null = null;
  #tidying: NodeJS.Timeout | undefined;

  constructor(
    dependencies: BridgeDependencies & Pick<ConnectionDependencies, 'fallBack'>,
    documents: Documents,
    dialer: Dialer,
  ) {
    const { store, log, leaseTtlMs } = dependencies;
    const clock = new LeaseClock(leaseTtlMs);
    this.#deps = {
      ...dependencies,
      dialer,
      clock,
      turns: new Turns(ATTACHING_AT_ONCE),
      readParameters: (record) => documents.read(record),
      makeRoom: (key) => this.#makeRoom(key),
      onGone: (connection) => this.forget(connection),
    };
    this.#renewals = new Renewals({
      clock,
      log,
      leases: store.leases,
      schedule: store.schedule,
      connections: this.#connections,
    });
  }

  get(key: Key): Connection | undefined {
    return this.#connections.get(key);
  }

  /** The Connection that this instance owns under an id, found without asking the store. */
  owned(id: string): Connection | undefined {
    const connection = this.#byId.get(id);
    return connection?.lease ? connection : undefined;
  }

  byId(id: string): Connection | undefined {
    return this.#byId.get(id);
  }

  /** Whether this process has the lease on it, or a network connection that it may have the lease for again. */
  isAtHand(id: string): boolean {
    const connection = this.#byId.get(id);
    return connection !== undefined && (connection.lease !== null || connection.isAttached);
  }

  all(): Connection[] {
    return [...this.#connections.values()];
  }

  /** Those that this instance owns. */
  allOwned(): Connection[] {
    return [...this.#connections.values()].filter(({ lease }) => lease !== null);
  }

  /** Connections that may be attached beside those that are; it may be more unless it is 0. */
  get room(): number {
    if (this.#admitted.size >= this.#deps.poolMax) this.#forgetDetached();
    return this.#deps.poolMax - this.#admitted.size;
  }

  /** From now on only those that are alive here are obtained: what was given up must not be taken again. */
  close(why: Problem): void {
    this.#closed = why;
  }

  /** Why none is made any more; null: they are. */
  get closed(): Problem | null {
    return this.#closed;
  }

  #forgetDetached(): void {
    for (const key of this.#admitted) if (!this.#connections.get(key)?.isAttached) this.#admitted.delete(key);
  }

  /** The live Connection of a record; when there is none it is made from what the store knows. */
  async obtain(record: ConnectionRecord): Promise<Connection> {
    const known = this.#connections.get(record.key);
    if (known !== undefined) return known;
    const connection = new Connection(record, this.#deps);
    await connection.refresh();
    // Another request may have made it meanwhile.
    const made = this.#connections.get(record.key);
    if (made === undefined && this.#closed !== null) throw this.#closed;
    const winner = made ?? connection;
    this.#connections.set(record.key, winner);
    this.#byId.set(record.id, winner);
    return winner;
  }

  forget({ key, id }: Pick<ConnectionRecord, 'key' | 'id'>): void {
    this.#connections.delete(key);
    this.#byId.delete(id);
  }

  start(): void {
    this.#renewals.start();
    this.#tidying = setInterval(() => void this.#tidy(), TIDYING_INTERVAL_MS);
  }

  /** All that is owned here must have been given back by now. */
  stop(): void {
    clearInterval(this.#tidying);
    this.#renewals.stop();
    this.#connections.clear();
    this.#byId.clear();
  }

  /** Parks what was used least recently, as long as no more may be attached; waits for what is just being attached. */
  async #makeRoom(forKey: Key): Promise<void> {
    const spent = new Stopwatch();
    while (!this.#admit(forKey)) {
      const parkable = this.all().filter(({ key, parking }) => key !== forKey && parking.isParkable);
      const [idlest] = parkable.sort(byIdleness);
      if (idlest !== undefined && (await idlest.parking.park())) continue;
      if (spent.elapsedMs > ROOM_WITHIN_MS) {
        throw new Problem('overloaded', {
          detail: `${this.#deps.poolMax} Connections are attached here, and none of them can be parked now`,
          retryAfter: 5,
        });
      }
      await pause(ROOM_INTERVAL_MS);
    }
  }

  /** False when there is no room. */
  #admit(key: Key): boolean {
    if (!this.#admitted.has(key) && this.room <= 0) return false;
    this.#admitted.add(key);
    return true;
  }

  async #tidy(): Promise<void> {
    for (const connection of this.#connections.values()) {
      if (connection.isDormant && connection.parking.idleMs > FORGOTTEN_AFTER_MS) connection.retire(notOwner());
      else if (connection.parking.idleMs > lingerMs(connection) && connection.parking.isParkable) {
        connection.parking.park().catch((err) => this.#deps.log.warn({ err, key: connection.key }, 'parking failed'));
      }
    }
  }
}

/** How long a Connection stays attached that nobody uses: one that is held always, for ever. */
function lingerMs({ isPublisher, parking, parameters }: Connection): number {
  // One that was taken to finish what another instance began is given back as soon as that is done.
  if (isPublisher) return parking.wasUsed ? PUBLISHER_LINGER_MS : 0;
  return parameters.hold === 'onDemand' ? LINGER_MS : Number.POSITIVE_INFINITY;
}

/** The longest idle first. */
export function byIdleness(a: Connection, b: Connection): number {
  return b.parking.idleMs - a.parking.idleMs;
}
