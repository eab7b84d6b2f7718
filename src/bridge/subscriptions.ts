import { Problem } from '../errors/problem.ts';
import type { SubscriptionRequest, SubscriptionView } from '../schemas/subscription.ts';
import type { Documents } from './documents.ts';
import type { SubscribeResult } from './facade.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord } from './ports.ts';
import type { Records } from './records.ts';
import type { Views } from './views.ts';

/** The subscriptions of a Connection as a resource: part of its document, and of what the broker granted. */
export class Subscriptions {
  readonly #records: Records;
  readonly #documents: Documents;
  readonly #pool: Pool;
  readonly #views: Views;

  constructor(records: Records, documents: Documents, pool: Pool, views: Views) {
    this.#records = records;
    this.#documents = documents;
    this.#pool = pool;
    this.#views = views;
  }

  async list(id: string): Promise<SubscriptionView[]> {
    return (await this.#views.liveness(await this.#records.require(id))).subscriptions;
  }

  /** Resolves after SUBACK, with an answer for each filter; those that the broker refuses are not kept. */
  async add(id: string, requests: readonly SubscriptionRequest[]): Promise<SubscribeResult> {
    const filters = new Set(requests.map(({ filter }) => filter));
    const { record, document } = await this.#records.edit(await this.#records.require(id), (before) => ({
      ...before,
      subscriptions: [...(before.subscriptions ?? []).filter(({ filter }) => !filters.has(filter)), ...requests],
    }));
    const connection = await this.#pool.obtain(record);
    const applied = await connection.subscribe(document, [...filters]).finally(() => connection.settle());
    const results = connection.subscriptions.filter(({ filter }) => filters.has(filter));
    const refused = new Set(results.filter(({ granted }) => granted?.qos === null).map(({ filter }) => filter));
    if (refused.size > 0) await this.#drop(record, refused);
    return { applied, results };
  }

  /** Resolves after UNSUBACK; of a detached Connection, the subscription ends at the next attach. */
  async remove(id: string, filter: string): Promise<void> {
    const record = await this.#records.require(id);
    if (!this.#documents.read(record).subscriptions?.some((known) => known.filter === filter)) {
      throw new Problem('subscription-not-found', { detail: `The Connection has no subscription to ${filter}` });
    }
    await this.#drop(record, new Set([filter]));
    const connection = await this.#pool.obtain(record);
    if (connection.status.state === 'online' && connection.isSubscribed(filter)) {
      throw new Problem('broker-refused', {
        detail: 'The broker did not end the subscription; it will be asked again',
      });
    }
  }

  async #drop(record: ConnectionRecord, filters: ReadonlySet<string>): Promise<void> {
    await this.#records.change(record, (before) => ({
      ...before,
      subscriptions: (before.subscriptions ?? []).filter(({ filter }) => !filters.has(filter)),
    }));
  }
}
