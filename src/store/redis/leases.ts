import { randomBytes } from 'node:crypto';
import {
  type Epoch,
  type Fence,
  type Holder,
  type Key,
  type Lease,
  type Leases,
  type Renewal,
  StoreUnavailable,
} from '../../bridge/ports.ts';
import type { Commands } from './client.ts';
import { CODES } from './errors.ts';
import type { Keys } from './keys.ts';
import { asArray, asText, asTextOrNull } from './replies.ts';
import type { WakeUps } from './wake-ups.ts';

/** What a release answers when somebody stands in line. */
const STAYS = 1;

/**
 * Leases by the clock of Redis: a key that expires. The process that holds one is a part of its epoch, and not of what
 * the release before reads and compares: so each of the two takes the other's lease for that of an instance.
 */
export class RedisLeases implements Leases {
  readonly #client: Commands;
  readonly #keys: Keys;
  readonly #wakeUps: WakeUps;

  constructor(client: Commands, keys: Keys, wakeUps: WakeUps) {
    this.#client = client;
    this.#keys = keys;
    this.#wakeUps = wakeUps;
  }

  async acquire(key: Key, holder: Holder, ttlMs: number, waitMs = 0): Promise<Lease | { readonly heldBy: string }> {
    // The nonce tells epochs apart when a fail-over lost the counter's last steps.
    const nonce = randomBytes(9).toString('base64url');
    const parts = ['lease', 'last-lease', 'waiting', 'waiting-until'] as const;
    const names = parts.map((part) => this.#keys.of(key, part));
    const args = [holder.nodeId, holder.process, nonce, ttlMs, waitMs];
    const [acquired, value] = asArray(await this.#client.run('lease-acquire', names, args));
    return acquired === 1 ? { key, epoch: asText(value) as Epoch, holder } : { heldBy: asText(value) };
  }

  watchTurn(key: Key, holder: Holder, onTurn: () => void): () => void {
    return this.#wakeUps.watch(this.#keys.of(key, 'lease'), (first) => {
      if (first === '' || first === inLine(holder)) onTurn();
    });
  }

  async leaveLine(key: Key, holder: Holder): Promise<void> {
    if (this.#wakeUps.isWatched(this.#keys.of(key, 'lease'))) return;
    await this.#client.run('lease-leave-line', this.#lineOf(key), [holder.nodeId, holder.process]);
  }

  async isAwaited(key: Key): Promise<boolean> {
    return (await this.#client.send('EXISTS', this.#keys.of(key, 'waiting'))) === 1;
  }

  async renew(leases: readonly Fence[], ttlMs: number): Promise<Renewal> {
    const calls = leases.map(({ key, epoch }) => ({ keys: [this.#keys.of(key, 'lease')], args: [epoch, ttlMs] }));
    const replies = await this.#client.runEach('lease-renew', calls);
    if (replies.length > 0 && replies.every((reply) => reply instanceof StoreUnavailable)) throw replies[0];
    const keysWith = (code: number) =>
      new Set(leases.filter((_, place) => replies[place] === code).map(({ key }) => key));
    return { renewed: keysWith(CODES.done), lost: keysWith(CODES.staleEpoch) };
  }

  async release(lease: Fence): Promise<void> {
    await this.#release(lease, 'always');
  }

  async releaseUnlessAwaited(lease: Fence): Promise<boolean> {
    return (await this.#release(lease, 'unless-awaited')) !== STAYS;
  }

  #release({ key, epoch }: Fence, when: 'always' | 'unless-awaited'): Promise<unknown> {
    return this.#client.run('lease-release', this.#lineOf(key), [epoch, when]);
  }

  /** The keys of a lease, and of the line for it. */
  #lineOf(key: Key): string[] {
    return (['lease', 'waiting', 'waiting-until'] as const).map((part) => this.#keys.of(key, part));
  }

  async holder(key: Key): Promise<string | null> {
    const lease = asTextOrNull(await this.#client.send('GET', this.#keys.of(key, 'lease')));
    return lease === null ? null : lease.slice(lease.indexOf(' ') + 1);
  }
}

/** How lease-acquire.lua names a process in the line. */
function inLine({ nodeId, process }: Holder): string {
  return `${nodeId} ${process}`;
}
