import type { Problem } from '../../errors/problem.ts';
import type { Connection } from '../connection/connection.ts';
import type { BrokerProfile } from '../dependencies.ts';
import type { KeptAnswer, KeptRequest, PublishRequest, PublishResult } from '../facade.ts';
import { problemOf } from '../link/link-problems.ts';
import { requireProfile } from '../per-broker.ts';
import type { Pool } from '../pool.ts';
import type { KeptPublishes } from '../publications/kept-publishes.ts';
import { publishAll } from '../publish-all.ts';
import type { SlotRecords } from './slot-records.ts';
import { homeSlot, keyedSlot } from './slots.ts';

export interface PublishersOptions {
  brokers: ReadonlyMap<string, BrokerProfile>;
  pool: Pick<Pool, 'owned' | 'obtain'>;
  records: SlotRecords;
  keptPublishes: KeptPublishes;
}

/**
 * Publishes for callers without a Connection of their own, through the slots of a broker. What has an idempotency key
 * goes to the slot that the key belongs to, wherever that is owned; the rest to this instance's own, its home.
 */
export class Publishers {
  readonly #options: PublishersOptions;
  /** The ids of this instance's homes, by broker. */
  readonly #homes = new Map<string, string>();
  /** Homes that are being looked for. */
  readonly #moving = new Map<string, Promise<Connection>>();
  #stopped: Problem | null = null;

  constructor(options: PublishersOptions) {
    this.#options = options;
  }

  async publish(broker: string, requests: readonly PublishRequest[]): Promise<PublishResult[]> {
    return publishAll(await this.#home(broker), requests);
  }

  /** Rejects with `not-owner` when another instance owns the slot. */
  async publishKept(broker: string, request: KeptRequest): Promise<KeptAnswer> {
    const { idempotencyKey } = request;
    const slot =
      idempotencyKey === null ? await this.#home(broker) : await this.#own(broker, keyedSlot(broker, idempotencyKey));
    try {
      return await this.#options.keptPublishes.publish(slot, request);
    } finally {
      // What was only looked up needs no network connection, and no lease.
      slot.settle().catch(() => undefined);
    }
  }

  /** From now on nothing is published. */
  stop(why: Problem): void {
    this.#stopped = why;
  }

  async #home(broker: string): Promise<Connection> {
    const id = this.#homes.get(broker);
    const home = id === undefined ? undefined : this.#options.pool.owned(id);
    if (home !== undefined && this.#stopped === null) return home;
    const moving = this.#moving.get(broker) ?? this.#move(broker).finally(() => this.#moving.delete(broker));
    this.#moving.set(broker, moving);
    return moving;
  }

  /** Takes the first slot that nobody else has: so there are as many as instances, also when those come and go. */
  async #move(broker: string): Promise<Connection> {
    const former = this.#homes.get(broker);
    for (let number = former === undefined ? 0 : -1; ; number += 1) {
      const id = number < 0 && former !== undefined ? former : homeSlot(broker, number);
      try {
        const home = await this.#own(broker, id);
        this.#homes.set(broker, id);
        return home;
      } catch (error) {
        if (problemOf(error).type !== 'not-owner') throw error;
      }
    }
  }

  async #own(broker: string, id: string): Promise<Connection> {
    const { brokers, pool, records } = this.#options;
    requireProfile(brokers, broker);
    if (this.#stopped !== null) throw this.#stopped;
    const owned = pool.owned(id);
    if (owned !== undefined) return owned;
    const slot = await pool.obtain(await records.findOrCreate(broker, id));
    await slot.parking.awaken();
    await slot.own();
    await records.refresh(slot);
    return slot;
  }
}
