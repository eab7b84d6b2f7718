import { Connection, type ConnectionDependencies } from './connection/connection.ts';
import { Turns } from './connection/turns.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Documents } from './documents.ts';
import type { Dialer } from './link/dial.ts';
import type { ConnectionRecord, Key, Lease } from './ports.ts';

/** Leases are renewed at a third of their time, so that two renewals may fail. */
const RENEWALS_PER_LEASE = 3;

/** Connections that are being attached to one broker at the same time. */
const ATTACHING_AT_ONCE = 100;

/** The Connections that are alive in this process, and their leases. */
export class Pool {
  readonly #deps: BridgeDependencies & ConnectionDependencies;
  readonly #connections = new Map<Key, Connection>();
  readonly #byId = new Map<string, Connection>();
  #renewal: NodeJS.Timeout | undefined;

  constructor(dependencies: BridgeDependencies, documents: Documents, dialer: Dialer) {
    const turns = new Turns(ATTACHING_AT_ONCE);
    this.#deps = { ...dependencies, dialer, turns, readParameters: (record) => documents.read(record) };
  }

  get(key: Key): Connection | undefined {
    return this.#connections.get(key);
  }

  /** The Connection that this instance owns under an id, found without asking the store. */
  owned(id: string): Connection | undefined {
    const connection = this.#byId.get(id);
    return connection?.lease ? connection : undefined;
  }

  /** The live Connection of a record; when there is none it is made from what the store knows. */
  async obtain(record: ConnectionRecord): Promise<Connection> {
    const known = this.#connections.get(record.key);
    if (known !== undefined) return known;
    const connection = new Connection(record, this.#deps);
    await connection.refresh();
    // Another request may have made it meanwhile.
    const winner = this.#connections.get(record.key) ?? connection;
    this.#connections.set(record.key, winner);
    this.#byId.set(record.id, winner);
    return winner;
  }

  forget(record: ConnectionRecord): void {
    this.#connections.delete(record.key);
    this.#byId.delete(record.id);
  }

  start(): void {
    const every = Math.floor(this.#deps.leaseTtlMs / RENEWALS_PER_LEASE);
    this.#renewal = setInterval(() => this.#renew(), every);
  }

  /** Disconnects all normally and gives the leases back. */
  async stop(): Promise<void> {
    // All at once: brokers that do not answer must not hold up the others.
    await Promise.all([...this.#connections.values()].map((connection) => connection.stop()));
    clearInterval(this.#renewal);
    this.#connections.clear();
    this.#byId.clear();
  }

  async #renew(): Promise<void> {
    const leases = [...this.#connections.values()].map(({ lease }) => lease).filter((lease) => lease !== null);
    if (leases.length === 0) return;
    try {
      const lost = await this.#deps.store.leases.renew(leases, this.#deps.leaseTtlMs);
      for (const lease of leases) if (lost.has(lease.key)) this.#onLost(lease);
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'leases could not be renewed');
    }
  }

  #onLost(lease: Lease): void {
    const connection = this.#connections.get(lease.key);
    if (connection?.lease?.epoch !== lease.epoch) return;
    this.#deps.log.warn({ key: lease.key }, 'the lease was lost');
    connection.leaseLost();
  }
}
