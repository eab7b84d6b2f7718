import { setTimeout as pause } from 'node:timers/promises';
import { Problem } from '../errors/problem.ts';
import { backoffMs } from './connection/backoff.ts';
import type { Connection } from './connection/connection.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Kept } from './facade.ts';
import type { Pool } from './pool.ts';
import { type ConnectionRecord, type Key, StoreUnavailable } from './ports.ts';
import type { Removals } from './removals.ts';
import { Stopwatch } from './stopwatch.ts';

const INTERVAL_MS = 250;
/** Connections that are looked at by one instance at the same time: whoever has died, all survivors take their share. */
const AT_ONCE = 100;
/** What another instance owns is looked at again after that part of a lease: its owner may have died before it could say when. */
const LOOKED_AT_AGAIN = 1 / 3;
/** How long the others leave a Connection alone that one has taken to look at: until it has the lease, or has died. */
const HOLD_MS = 5_000;
const LONGEST_PAUSE_MS = 5_000;
const DRAIN_BUDGET_MS = 30_000;
/** After that time a Connection whose `POST` has no owner is what a crash left. */
const PROVISIONAL_MS = 5_000;
/** How soon another instance tries a deletion again, should the one that is at it die. */
const DELETION_MS = 60_000;

/** Answers whether another instance has taken it on. */
type PassOn = (key: Key) => Promise<boolean>;
const NOBODY: PassOn = () => Promise.resolve(false);

/** What a look is a part of. */
interface Run {
  readonly signal: AbortSignal;
  readonly passOn: PassOn;
}

/**
 * Looks at Connections when they are due: attaches those whose owner has died or stopped, drains parked sessions before
 * they expire or overflow at the broker, clears away what a crash left, and goes on with deletions. Each instance has
 * one; the schedule in the store gives each Connection to one of them.
 */
export class Keeper {
  readonly #deps: Pick<BridgeDependencies, 'store' | 'holder' | 'leaseTtlMs' | 'log'>;
  /** Nothing stays attached for longer than the run: this is a function. */
  readonly #isTransient: boolean;
  readonly #pool: Pool;
  readonly #removals: Removals;
  readonly #underWay = new Set<Key>();
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #taking: Promise<void> | null = null;
  /** Whether there was no place for all that were due. */
  #moreAreDue = false;
  #passOn = NOBODY;

  constructor(
    dependencies: Pick<BridgeDependencies, 'mode' | 'store' | 'holder' | 'leaseTtlMs' | 'log'>,
    pool: Pool,
    removals: Removals,
  ) {
    this.#deps = dependencies;
    this.#isTransient = dependencies.mode === 'function';
    this.#pool = pool;
    this.#removals = removals;
  }

  /** How many it looks at now. */
  get looking(): number {
    return this.#underWay.size;
  }

  /**
   * Resolves when the first that were due are on their way; rejects when the store cannot say which. `passOn` has another
   * instance attach what lost its owner, if that has less to do.
   */
  async start(passOn: PassOn): Promise<void> {
    this.#passOn = passOn;
    await this.#takeDue();
    this.#timer = setInterval(() => this.#sweep(), INTERVAL_MS);
  }

  /**
   * One run, in a function: takes what is due until nothing is, or the budget is spent; the signal ends what has begun
   * by then. Several may run at once.
   */
  async keep(budgetMs: number, signal: AbortSignal): Promise<Kept> {
    const spent = new Stopwatch();
    const ending = AbortSignal.any([signal, this.#stopping.signal]);
    const looks = new Set<Promise<unknown>>();
    let drained = 0;
    let remaining = true;
    while (remaining && spent.elapsedMs < budgetMs && !ending.aborted) {
      const keys = await this.#deps.store.schedule.take(AT_ONCE - looks.size, HOLD_MS);
      for (const key of keys) {
        const look: Promise<unknown> = this.#look(key, { signal: ending, passOn: NOBODY }).then((wasDrained) => {
          looks.delete(look);
          if (wasDrained) drained += 1;
        });
        looks.add(look);
      }
      remaining = looks.size > 0;
      // One that takes long does not keep the others waiting.
      if (looks.size === AT_ONCE || (keys.length === 0 && remaining)) await Promise.race(looks);
    }
    await Promise.all(looks);
    return { drained, remaining };
  }

  stop(): void {
    this.#stopping.abort();
    clearInterval(this.#timer);
  }

  /** Looks at what the process owned that had this one's name, without waiting for its leases to end. */
  async succeed(): Promise<void> {
    const { store, holder, leaseTtlMs } = this.#deps;
    // Whoever owns one has said, as it renewed the lease, that it is due when that ends.
    for await (const keys of store.schedule.upcoming(leaseTtlMs)) {
      if (this.#stopping.signal.aborted) return;
      const owners = await Promise.all(keys.map((key) => store.leases.holder(key)));
      for (const [place, key] of keys.entries()) if (owners[place] === holder.nodeId) void this.#look(key);
    }
  }

  /** Looks at one now, whenever it is due: its owner has just given it back. Resolves when that is over. */
  async look(key: Key): Promise<void> {
    await this.#look(key);
  }

  #sweep(): void {
    this.#taking ??= this.#takeDue()
      .catch((err) => this.#deps.log.warn({ err }, 'the schedule could not be read'))
      .finally(() => {
        this.#taking = null;
      });
  }

  async #takeDue(): Promise<void> {
    const free = AT_ONCE - this.#underWay.size;
    if (free <= 0 || this.#stopping.signal.aborted) return;
    const keys = await this.#deps.store.schedule.take(free, HOLD_MS);
    this.#moreAreDue = keys.length === free;
    const run = { signal: this.#stopping.signal, passOn: this.#passOn };
    for (const key of keys) {
      void this.#look(key, run).then(() => {
        // Not for each that is over: taking costs as much for one as for many.
        if (this.#moreAreDue && this.#underWay.size <= AT_ONCE / 2) this.#sweep();
      });
    }
  }

  /** Answers whether the session was drained. */
  async #look(key: Key, run: Run = { signal: this.#stopping.signal, passOn: NOBODY }): Promise<boolean> {
    if (this.#underWay.has(key) || run.signal.aborted) return false;
    this.#underWay.add(key);
    try {
      return await this.#lookUntilDone(key, run);
    } finally {
      this.#underWay.delete(key);
    }
  }

  async #lookUntilDone(key: Key, { signal, passOn }: Run): Promise<boolean> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const connection = await this.#findDue(key, passOn);
        return connection !== null && (await this.#bringBack(connection, signal));
      } catch (err) {
        if (err instanceof Problem && err.type === 'not-owner') return false;
        this.#deps.log.warn({ err, key }, 'a Connection that was due could not be looked at');
        // Of anything else than the store's failure it is not known that it will pass: it is due again after a while.
        if (!(err instanceof StoreUnavailable) || this.#isTransient) return false;
        await pause(backoffMs(failures, LONGEST_PAUSE_MS), undefined, { signal }).catch(() => undefined);
      }
    }
    return false;
  }

  /** The Connection, owned by now, that is to be brought back; null when there is nothing to bring back. */
  async #findDue(key: Key, passOn: PassOn): Promise<Connection | null> {
    const { store, leaseTtlMs } = this.#deps;
    const record = await store.connections.byKey(key);
    if (record === null) await store.schedule.cancel([key]);
    else if (this.#pool.get(key)?.lease) await store.schedule.set([{ key, inMs: leaseTtlMs }]);
    else if (await this.#isOwnedElsewhere(key)) await store.schedule.set([{ key, inMs: leaseTtlMs * LOOKED_AT_AGAIN }]);
    else if (record.provisional) await this.#clearAway(record);
    else if (record.deleting) await this.#goOnDeleting(record);
    else return this.#own(record, passOn);
    return null;
  }

  async #own(record: ConnectionRecord, passOn: PassOn): Promise<Connection | null> {
    const connection = await this.#pool.obtain(record);
    await connection.refresh();
    if (connection.parking.nextLookMs === null) {
      await this.#deps.store.schedule.cancel([record.key]);
      return null;
    }
    // A function can do nothing for what is to stay attached, and has no session at the broker: it leaves that alone.
    if (this.#isTransient && (await connection.parking.isLeftAlone())) return null;
    // What is drained is back soon: wherever that is done.
    if (connection.status.state !== 'parked' && (await passOn(record.key))) return null;
    if (this.#isTransient) await connection.parking.awaken();
    await connection.own();
    return connection;
  }

  async #goOnDeleting(record: ConnectionRecord): Promise<void> {
    await this.#deps.store.schedule.set([{ key: record.key, inMs: DELETION_MS }]);
    if (this.#isTransient) await this.#removals.finish(record);
    else this.#removals.add(record);
  }

  /** Then its owner says when it is due, each time that it renews the lease. */
  async #isOwnedElsewhere(key: Key): Promise<boolean> {
    const owner = await this.#deps.store.leases.holder(key);
    return owner !== null && owner !== this.#deps.holder.nodeId;
  }

  /** A caller never had an answer for it; one that is being made this moment has no owner yet. */
  async #clearAway({ key, createdAt }: ConnectionRecord): Promise<void> {
    const { connections, schedule } = this.#deps.store;
    if (Date.now() - createdAt > PROVISIONAL_MS) await connections.remove(key);
    else await schedule.set([{ key, inMs: PROVISIONAL_MS }]);
  }

  /** What is to stay attached goes on by itself from here, and so does a publisher; the rest is drained, and parked again. */
  async #bringBack(connection: Connection, signal: AbortSignal): Promise<boolean> {
    const { isPublisher, parameters, status, parking } = connection;
    const mayStay = !this.#isTransient && (isPublisher || this.#pool.room > 0 || !parking.isLasting);
    const stays = mayStay && parameters.hold === 'always';
    if (stays && (isPublisher || status.state !== 'parked')) {
      await connection.settle();
      return false;
    }
    try {
      await parking.drain(DRAIN_BUDGET_MS, signal);
    } catch (error) {
      await parking.rest(error);
      return false;
    }
    if (this.#isTransient) await parking.letGo();
    else if (!stays) await parking.park();
    return true;
  }
}
