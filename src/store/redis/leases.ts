import { randomBytes } from 'node:crypto';
import type { Epoch, Fence, Key, Lease, Leases } from '../../bridge/ports.ts';
import type { Commands } from './client.ts';
import { CODES } from './errors.ts';
import type { Keys } from './keys.ts';
import { asArray, asText, asTextOrNull } from './replies.ts';

/** Leases by the clock of Redis: a key that expires. */
export class RedisLeases implements Leases {
  readonly #client: Commands;
  readonly #keys: Keys;

  constructor(client: Commands, keys: Keys) {
    this.#client = client;
    this.#keys = keys;
  }

  async acquire(key: Key, holder: string, ttlMs: number): Promise<Lease | { readonly heldBy: string }> {
    // The nonce tells epochs apart when a fail-over lost the counter's last steps.
    const nonce = randomBytes(9).toString('base64url');
    const names = [this.#keys.of(key, 'lease'), this.#keys.of(key, 'last-lease')];
    const [acquired, value] = asArray(await this.#client.run('lease-acquire', names, [holder, nonce, ttlMs]));
    return acquired === 1 ? { key, epoch: asText(value) as Epoch, holder } : { heldBy: asText(value) };
  }

  async renew(leases: readonly Fence[], ttlMs: number): Promise<ReadonlySet<Key>> {
    const lost = new Set<Key>();
    const failures: unknown[] = [];
    await Promise.all(
      leases.map(async ({ key, epoch }) => {
        try {
          const reply = await this.#client.run('lease-renew', [this.#keys.of(key, 'lease')], [epoch, ttlMs]);
          if (reply === CODES.staleEpoch) lost.add(key);
        } catch (error) {
          failures.push(error);
        }
      }),
    );
    if (failures.length > 0 && failures.length === leases.length) throw failures[0];
    return lost;
  }

  async release({ key, epoch }: Fence): Promise<void> {
    await this.#client.run('lease-release', [this.#keys.of(key, 'lease')], [epoch]);
  }

  async holder(key: Key): Promise<string | null> {
    const lease = asTextOrNull(await this.#client.send('GET', this.#keys.of(key, 'lease')));
    return lease === null ? null : lease.slice(lease.indexOf(' ') + 1);
  }
}
