import { backoffMs } from './backoff.ts';

/** A network connection that lived that long, in milliseconds, was no failure: the next one may come soon. */
const STABLE_MS = 10_000;

/** When a Connection that was lost tries again. */
export class Retry {
  readonly #attempt: () => void;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(attempt: () => void) {
    this.#attempt = attempt;
  }

  /** Tries again after a back-off that grows with each call, at the latest after so many milliseconds. */
  backOff(atMostMs?: number): void {
    this.after(backoffMs(this.#failures, atMostMs));
    this.#failures += 1;
  }

  /** Tries again after so many milliseconds, and not when it was to before. */
  after(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#attempt, ms);
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  /** Tells how long the last network connection had lived, in milliseconds. */
  lived(ms: number): void {
    if (ms >= STABLE_MS) this.#failures = 0;
  }
}
