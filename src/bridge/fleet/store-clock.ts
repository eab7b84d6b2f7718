import type { Members } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';

interface Reading {
  readonly time: number;
  /** Since it was asked for, and since it came: the clock was read at some time in between. */
  readonly asked: Stopwatch;
  readonly came: Stopwatch;
}

/** The store's clock, which all instances share: asked now and then, and reckoned on in between. Milliseconds. */
export class StoreClock {
  readonly #members: Pick<Members, 'time'>;
  #reading: Reading | null = null;

  constructor(members: Pick<Members, 'time'>) {
    this.#members = members;
  }

  async set(): Promise<void> {
    const asked = new Stopwatch();
    const time = await this.#members.time();
    this.#reading = { time, asked, came: new Stopwatch() };
  }

  /** What it shows now at least; not a number before it was set. */
  get earliest(): number {
    return this.#reading === null ? Number.NaN : this.#reading.time + this.#reading.came.elapsedMs;
  }

  /** And at most. */
  get latest(): number {
    return this.#reading === null ? Number.NaN : this.#reading.time + this.#reading.asked.elapsedMs;
  }
}
