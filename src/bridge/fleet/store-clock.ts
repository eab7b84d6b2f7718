import type { Members } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';

/** The store's clock, which all instances share: asked now and then, and reckoned on in between. */
export class StoreClock {
  readonly #members: Pick<Members, 'time'>;
  readonly #since = new Stopwatch();
  #time: number | null = null;

  constructor(members: Pick<Members, 'time'>) {
    this.#members = members;
  }

  /** Asks for it. It is a little later by then, by the way of the answer. */
  async set(): Promise<void> {
    const time = await this.#members.time();
    this.#since.restart();
    this.#time = time;
  }

  /** Milliseconds; not a number before it was set. */
  get now(): number {
    return this.#time === null ? Number.NaN : this.#time + this.#since.elapsedMs;
  }
}
