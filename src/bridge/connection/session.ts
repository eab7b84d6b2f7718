import { Problem } from '../../errors/problem.ts';
import type { ConnectionState, StateReason } from '../../schemas/connection-view.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import { NotOwner, notOwner } from '../link/link-problems.ts';
import type { Asked, LeaseClock, Standing } from '../ownership/lease-clock.ts';
import type { ConnectionRecord, Epoch, Fence, Key, Lease } from '../ports.ts';
import { initialStatus, readStatus, type SessionStatus } from './session-status.ts';
import { SubscriptionTable } from './subscription-table.ts';

/** A function that does not get a lease asks again sooner: until then it stands in line. */
const IN_LINE_MS = 1_000;
/** Part of the time until somebody is to look at a Connection by which that may come sooner than need be. */
const EARLY = 0.1;

export interface SessionDependencies extends Pick<BridgeDependencies, 'mode' | 'store' | 'holder'> {
  clock: LeaseClock;
}

/** What is known of a Connection's MQTT session in this process: the lease on it, its generation, and its status. */
export class Session {
  readonly #key: Key;
  readonly #deps: SessionDependencies;
  #lease: Lease | null = null;
  /** When the store was asked for the lease last, and said yes. */
  #asked: Asked | null = null;
  /** Of the lease that was given back although the network connection stays. */
  #lent: Epoch | null = null;
  /** When somebody is to look at the Connection, as far as this process has said so; null: never. */
  #lookAt: number | null = 0;
  #generation = 0;
  #status: SessionStatus = initialStatus(Date.now());
  #table = new SubscriptionTable([]);
  #removing = false;
  /** Whether the store has the status of some time. */
  #isStored = false;

  constructor(key: Key, dependencies: SessionDependencies) {
    this.#key = key;
    this.#deps = dependencies;
  }

  get lease(): Lease | null {
    return this.#lease;
  }
  /** Whether the lease may still be relied on. */
  get standing(): Standing {
    return this.#lease === null || this.#asked === null ? 'over' : this.#deps.clock.standing(this.#asked);
  }
  get generation(): number {
    return this.#generation;
  }
  get status(): Readonly<SessionStatus> {
    return this.#status;
  }
  get table(): SubscriptionTable {
    return this.#table;
  }

  get isStored(): boolean {
    return this.#isStored;
  }

  /** Whether the broker keeps, or kept, the session when the network connection ends. */
  get outlivesConnection(): boolean {
    return this.#generation > 0 && this.#status.sessionExpiry !== 0;
  }

  /** The right to write; throws `not-owner` without a lease. */
  fence(): Fence {
    if (this.#lease === null) throw notOwner();
    return this.#lease;
  }

  /** The store has renewed that lease, when it was asked. */
  confirm({ epoch }: Fence, asked: Asked): void {
    if (this.#lease?.epoch !== epoch) return;
    this.#asked = asked;
    this.#lookAt = Date.now() + this.#deps.clock.ttlMs;
  }

  /** Reads what the store knows. An owner that was online before is not any more. */
  async load(): Promise<void> {
    const record = await this.#deps.store.inbound.loadSession(this.#key);
    this.#isStored = record !== null;
    this.#generation = record?.generation ?? 0;
    this.#status = readStatus(record, this.#status.since);
    this.#table = new SubscriptionTable(this.#status.granted);
    if (this.#status.state === 'online') this.setState('connecting', null);
  }

  /**
   * Takes or renews the lease. Answers null when it is still the one that we had; else the record, and the session is
   * as the store knows it by now. Rejects with `not-owner` when another instance has it, and with
   * `connection-not-found` when the Connection was deleted.
   */
  async acquire(): Promise<ConnectionRecord | null> {
    const { mode, store, holder, clock } = this.#deps;
    // One that was lent is the same only if the record is there: with it the memory of the lease goes.
    if (this.#lease === null && this.#lent === null) await this.#requireRecord();
    const asked = clock.ask();
    const waitMs = mode === 'function' ? IN_LINE_MS : 0;
    const lease = await store.leases.acquire(this.#key, holder, clock.ttlMs, waitMs);
    if ('heldBy' in lease) {
      this.#lease = null;
      throw new NotOwner(waitMs > 0 ? this.#key : null);
    }
    this.#asked = asked;
    const isTheSame = lease.epoch === (this.#lease?.epoch ?? this.#lent);
    this.#lease = lease;
    this.#lent = null;
    if (isTheSame) return null;
    await this.#schedule(clock.ttlMs);
    const record = await this.#requireRecord();
    await this.load();
    return record;
  }

  /** Nothing may be left in the store for a key that is no more. */
  async #requireRecord(): Promise<ConnectionRecord> {
    const record = await this.#deps.store.connections.byKey(this.#key);
    if (record !== null && (!record.deleting || this.#removing)) return record;
    await this.release(null);
    throw new Problem('connection-not-found', { detail: 'The Connection was deleted' });
  }

  /** Gives the lease back; somebody looks at the Connection after so many milliseconds, or nobody does. */
  async release(nextLookMs: number | null): Promise<void> {
    const lease = this.#lease;
    this.#lease = null;
    if (lease === null) return;
    // First: whoever has the lease next says it anew.
    await this.#schedule(nextLookMs);
    await this.#deps.store.leases.release(lease);
  }

  /**
   * Gives the lease back, and knows it again if nobody has it in between: then the session is as it was. Where somebody
   * stands in line, it answers false, and the lease is still ours.
   */
  async lend(nextLookMs: number | null): Promise<boolean> {
    const lease = this.#lease;
    if (lease === null) return true;
    // Of a lease that nobody else had, what was said before holds still: a look that comes a little early does no harm.
    if (!this.#isScheduledWithin(nextLookMs)) await this.#schedule(nextLookMs);
    this.#lease = null;
    const isGivenBack = await this.#deps.store.leases.releaseUnlessAwaited(lease);
    if (isGivenBack) this.#lent = lease.epoch;
    else this.#lease = lease;
    return isGivenBack;
  }

  /** Says when somebody is to look at the Connection, in milliseconds; null: never. */
  async #schedule(inMs: number | null): Promise<void> {
    const { schedule } = this.#deps.store;
    const lookAt = inMs === null ? null : Date.now() + inMs;
    if (inMs !== null) await schedule.set([{ key: this.#key, inMs }]);
    else if (this.#lookAt !== null) await schedule.cancel([this.#key]);
    this.#lookAt = lookAt;
  }

  #isScheduledWithin(inMs: number | null): boolean {
    if (inMs === null || this.#lookAt === null) return inMs === this.#lookAt;
    const left = this.#lookAt - Date.now();
    return left <= inMs && left >= inMs * (1 - EARLY);
  }

  /** Whether another function stands in line for the lease. */
  isAwaited(): Promise<boolean> {
    return this.#deps.store.leases.isAwaited(this.#key);
  }

  /** From now on a record that is marked as deleted will do. */
  allowDeleted(): void {
    this.#removing = true;
  }

  /** The lease went to somebody else. */
  lose(): void {
    this.#lease = null;
  }

  /** The broker has a new session for us: nothing of the one before holds in it. */
  async begin(): Promise<void> {
    this.#table.reset();
    this.#status.granted = [];
    this.#generation = await this.#deps.store.inbound.beginGeneration(this.fence(), { ...this.#status });
    this.#isStored = true;
  }

  setState(state: ConnectionState, reason: StateReason | null): void {
    if (this.#status.state !== state) this.#status.since = Date.now();
    this.#status.state = state;
    this.#status.reason = reason;
  }

  set(
    change: Partial<Pick<SessionStatus, 'wanted' | 'connack' | 'protocolVersion' | 'sessionExpiry' | 'drains'>>,
  ): void {
    Object.assign(this.#status, change);
  }

  /** Stores the status, if this instance is the owner. */
  async save(): Promise<void> {
    if (this.#lease === null) return;
    this.#status.granted = this.#table.granted;
    await this.#deps.store.inbound.saveStatus(this.#lease, { ...this.#status });
    this.#isStored = true;
  }
}
