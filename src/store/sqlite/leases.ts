import { randomBytes } from 'node:crypto';
import type { Epoch, Fence, Holder, Key, Lease, Leases, Renewal } from '../../bridge/ports.ts';
import { StaleEpoch } from '../../bridge/ports.ts';

interface Grant {
  readonly holder: Holder;
  readonly epoch: Epoch;
  /** Milliseconds since the epoch. In the past once released. */
  readonly expiresAt: number;
}

/**
 * Leases in memory. The lock on the file already keeps other processes out, and ends with the process, so a lease need
 * not outlive it: a restart finds none held, and no epoch of before is valid again, because of the nonce.
 */
export class MemoryLeases implements Leases {
  readonly #now: () => number;
  readonly #nonce = randomBytes(16).toString('base64url');
  /** The latest grant of each key, kept after it ended: its process gets the same epoch back if nobody was between. */
  readonly #grants = new Map<Key, Grant>();
  #count = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  async acquire(key: Key, holder: Holder, ttlMs: number): Promise<Lease | { readonly heldBy: string }> {
    const latest = this.#grants.get(key);
    const isOurs = latest?.holder.nodeId === holder.nodeId;
    if (latest !== undefined && !isOurs && this.#isHeld(latest)) return { heldBy: latest.holder.nodeId };
    const epoch = isOurs && latest.holder.process === holder.process ? latest.epoch : this.#nextEpoch();
    this.#grants.set(key, { holder, epoch, expiresAt: this.#now() + ttlMs });
    return { key, epoch, holder };
  }

  /** One process has the file: nobody stands in line. */
  watchTurn(): () => void {
    return () => {};
  }

  async leaveLine(): Promise<void> {}

  async isAwaited(): Promise<boolean> {
    return false;
  }

  async renew(leases: readonly Fence[], ttlMs: number): Promise<Renewal> {
    const renewed = new Set<Key>();
    const lost = new Set<Key>();
    const expiresAt = this.#now() + ttlMs;
    for (const lease of leases) {
      const grant = this.#valid(lease);
      (grant === null ? lost : renewed).add(lease.key);
      if (grant !== null) this.#grants.set(lease.key, { ...grant, expiresAt });
    }
    return { renewed, lost };
  }

  async release(lease: Fence): Promise<void> {
    const grant = this.#valid(lease);
    if (grant !== null) this.#grants.set(lease.key, { ...grant, expiresAt: 0 });
  }

  async releaseUnlessAwaited(lease: Fence): Promise<boolean> {
    await this.release(lease);
    return true;
  }

  async holder(key: Key): Promise<string | null> {
    const latest = this.#grants.get(key);
    return latest !== undefined && this.#isHeld(latest) ? latest.holder.nodeId : null;
  }

  /** Throws `StaleEpoch` unless the fence's lease is the valid one at this moment. */
  check(fence: Fence): void {
    if (this.#valid(fence) === null) throw new StaleEpoch(`The lease on ${fence.key} is held by another or has ended`);
  }

  /** Ends any lease on the key, and all memory of it. */
  forget(key: Key): void {
    this.#grants.delete(key);
  }

  #valid({ key, epoch }: Fence): Grant | null {
    const latest = this.#grants.get(key);
    return latest !== undefined && latest.epoch === epoch && this.#isHeld(latest) ? latest : null;
  }

  #isHeld(grant: Grant): boolean {
    return grant.expiresAt > this.#now();
  }

  #nextEpoch(): Epoch {
    this.#count += 1;
    return `${this.#count}-${this.#nonce}` as Epoch;
  }
}
