import type { Connection } from '../connection/connection.ts';
import type { Log } from '../dependencies.ts';
import { notOwner } from '../link/link-problems.ts';
import type { Key, Lease, Leases, Schedule } from '../ports.ts';
import type { LeaseClock } from './lease-clock.ts';

/** Leases are renewed at a third of their time, so that a renewal may fail. */
const RENEWALS_PER_LEASE = 3;

export interface RenewalsOptions {
  clock: LeaseClock;
  leases: Pick<Leases, 'renew'>;
  schedule: Pick<Schedule, 'set'>;
  /** Those alive in this process. */
  connections: { get(key: Key): Connection | undefined; values(): Iterable<Connection> };
  log: Log;
}

/**
 * Keeps the leases of this process alive, all together, and gives up in time what cannot be kept. After a gap, when
 * nothing is sure any more, it asks at once.
 */
export class Renewals {
  readonly #options: RenewalsOptions;
  #beats = 0;
  #running = false;
  #again = false;

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock } = this.#options;
    clock.start((gapped) => {
      this.#beats += 1;
      this.#giveUp();
      if (gapped || this.#beats % (clock.beats / RENEWALS_PER_LEASE) === 0) void this.#renew();
    });
  }

  stop(): void {
    this.#options.clock.stop();
  }

  /** Renewals do not overlap; one that is asked for meanwhile comes after. */
  async #renew(): Promise<void> {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    while (this.#again) {
      this.#again = false;
      await this.#renewAll().catch((err) => this.#options.log.warn({ err }, 'leases could not be renewed'));
    }
    this.#running = false;
  }

  async #renewAll(): Promise<void> {
    const { clock, leases, schedule, connections } = this.#options;
    const owned = [...connections.values()].map(({ lease }) => lease).filter((lease) => lease !== null);
    if (owned.length === 0) return;
    const asked = clock.ask();
    const { renewed, lost } = await leases.renew(owned, clock.ttlMs);
    for (const lease of owned) {
      if (renewed.has(lease.key)) connections.get(lease.key)?.confirm(lease, asked);
      else if (lost.has(lease.key)) this.#onLost(lease);
    }
    // Whoever finds them due finds that the lease has ended: by then this process has died.
    await schedule.set([...renewed].map((key) => ({ key, inMs: clock.ttlMs })));
  }

  #onLost(lease: Lease): void {
    const connection = this.#options.connections.get(lease.key);
    if (connection?.lease?.epoch !== lease.epoch) return;
    this.#options.log.warn({ key: lease.key }, 'the lease was lost');
    connection.retire(notOwner());
  }

  #giveUp(): void {
    for (const connection of this.#options.connections.values()) {
      if (connection.lease !== null && connection.standing === 'over') connection.leaseRanOut();
    }
  }
}
