import { Problem } from '../../errors/problem.ts';
import type { ConnectionState, StateReason } from '../../schemas/connection-view.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import { notOwner } from '../link/link-problems.ts';
import type { ConnectionRecord, Fence, Key, Lease } from '../ports.ts';
import { initialStatus, readStatus, type SessionStatus } from './session-status.ts';
import { SubscriptionTable } from './subscription-table.ts';

/** What is known of a Connection's MQTT session in this process: the lease on it, its generation, and its status. */
export class Session {
  readonly #key: Key;
  readonly #deps: Pick<BridgeDependencies, 'store' | 'nodeId' | 'leaseTtlMs'>;
  #lease: Lease | null = null;
  #generation = 0;
  #status: SessionStatus = initialStatus(Date.now());
  #table = new SubscriptionTable([]);
  #removing = false;

  constructor(key: Key, dependencies: Pick<BridgeDependencies, 'store' | 'nodeId' | 'leaseTtlMs'>) {
    this.#key = key;
    this.#deps = dependencies;
  }

  get lease(): Lease | null {
    return this.#lease;
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

  /** Whether the broker keeps, or kept, the session when the network connection ends. */
  get outlivesConnection(): boolean {
    return this.#generation > 0 && this.#status.sessionExpiry !== 0;
  }

  /** The right to write; throws `not-owner` without a lease. */
  fence(): Fence {
    if (this.#lease === null) throw notOwner();
    return this.#lease;
  }

  /** Reads what the store knows. An owner that was online before is not any more. */
  async load(): Promise<void> {
    const record = await this.#deps.store.inbound.loadSession(this.#key);
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
    const { store, nodeId, leaseTtlMs } = this.#deps;
    if (this.#lease === null) await this.#requireRecord();
    const lease = await store.leases.acquire(this.#key, { nodeId, process: nodeId }, leaseTtlMs);
    if ('heldBy' in lease) {
      this.#lease = null;
      throw notOwner();
    }
    if (lease.epoch === this.#lease?.epoch) return null;
    this.#lease = lease;
    const record = await this.#requireRecord();
    await this.load();
    return record;
  }

  /** Nothing may be left in the store for a key that is no more. */
  async #requireRecord(): Promise<ConnectionRecord> {
    const record = await this.#deps.store.connections.byKey(this.#key);
    if (record !== null && (!record.deleting || this.#removing)) return record;
    const lease = this.#lease;
    this.#lease = null;
    if (lease !== null) await this.#deps.store.leases.release(lease);
    throw new Problem('connection-not-found', { detail: 'The Connection was deleted' });
  }

  async release(): Promise<void> {
    const lease = this.#lease;
    this.#lease = null;
    if (lease !== null) await this.#deps.store.leases.release(lease);
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
  }

  setState(state: ConnectionState, reason: StateReason | null): void {
    if (this.#status.state !== state) this.#status.since = Date.now();
    this.#status.state = state;
    this.#status.reason = reason;
  }

  set(change: Partial<Pick<SessionStatus, 'wanted' | 'connack' | 'protocolVersion' | 'sessionExpiry'>>): void {
    Object.assign(this.#status, change);
  }

  /** Stores the status, if this instance is the owner. */
  async save(): Promise<void> {
    if (this.#lease === null) return;
    this.#status.granted = this.#table.granted;
    await this.#deps.store.inbound.saveStatus(this.#lease, { ...this.#status });
  }
}
