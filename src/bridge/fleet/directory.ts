import type { Pool } from '../pool.ts';
import type { Store } from '../ports.ts';
import type { Placement } from './fleet.ts';
import { isFunction } from './node-ids.ts';

/** Ids whose owner is remembered: what is wrong is found out at the owner, and costs one call. */
const MAX_REMEMBERED = 10_000;

/** Where a request for a Connection goes to. */
export type Place =
  /** It is owned here. */
  | 'owned'
  /** This instance is to take it, or to wait for it. */
  | 'here'
  /** There is no such Connection. */
  | 'nowhere'
  /** That instance owns it, or is to take it. */
  | { readonly nodeId: string };

export interface DirectoryOptions {
  store: Pick<Store, 'connections' | 'leases'>;
  pool: Pick<Pool, 'isAtHand'>;
  placement: Placement;
  nodeId: string;
}

/** Who owns which Connection, asked of the store and remembered for a while. */
export class Directory {
  readonly #options: DirectoryOptions;
  readonly #owners = new Map<string, string>();

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  async find(id: string): Promise<Place> {
    const { store, pool, placement, nodeId } = this.#options;
    if (pool.isAtHand(id)) return 'owned';
    const known = this.#owners.get(id);
    if (known !== undefined) return { nodeId: known };
    const record = await store.connections.byId(id);
    if (record === null) return 'nowhere';
    const holder = await store.leases.holder(record.key);
    // It has the lease for one request, and can be asked for nothing: whoever wants it waits here.
    if (holder !== null && isFunction(holder)) return 'here';
    const owner = holder ?? (await placement.placeElsewhere()) ?? nodeId;
    if (owner === nodeId) return 'here';
    this.#remember(id, owner);
    return { nodeId: owner };
  }

  /** What was remembered is not so. */
  forget(id: string): void {
    this.#owners.delete(id);
  }

  #remember(id: string, owner: string): void {
    // The oldest goes: a Map keeps the order in which its entries came.
    const [oldest] = this.#owners.size >= MAX_REMEMBERED ? this.#owners.keys() : [];
    if (oldest !== undefined) this.#owners.delete(oldest);
    this.#owners.set(id, owner);
  }
}
