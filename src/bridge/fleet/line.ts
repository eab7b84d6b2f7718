import { setTimeout as pause } from 'node:timers/promises';
import type { Holder, Key, Leases } from '../ports.ts';

export interface LineOptions {
  readonly leases: Pick<Leases, 'watchTurn' | 'leaveLine'>;
  readonly holder: Holder;
}

/** This process in the line for a lease: it is told when its turn has come. */
export class Line {
  readonly #key: Key;
  readonly #options: LineOptions;
  readonly #unwatch: () => void;
  #told = Promise.withResolvers<void>();

  constructor(key: Key, options: LineOptions) {
    const { leases, holder } = options;
    this.#key = key;
    this.#options = options;
    this.#unwatch = leases.watchTurn(key, holder, () => this.#told.resolve());
  }

  /** Resolves when the lease is there to be taken, and after so many milliseconds: what tells it may be lost. */
  async turn(ms: number): Promise<void> {
    const over = new AbortController();
    const late = pause(ms, undefined, { signal: over.signal }).catch(() => undefined);
    await Promise.race([this.#told.promise, late]);
    over.abort();
    this.#told = Promise.withResolvers();
  }

  /** Whoever had its turn stands in line no more. */
  end(): void {
    this.#unwatch();
  }

  giveUp(): void {
    this.#unwatch();
    const { leases, holder } = this.#options;
    // Where the store does not hear that, the others wait a second more.
    leases.leaveLine(this.#key, holder).catch(() => undefined);
  }
}
