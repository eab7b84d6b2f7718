import { backoffMs } from './backoff.ts';

/** A network connection that lived that long, in milliseconds, was no failure: the next one may come soon. */
const STABLE_MS = 10_000;

/** When a Connection that was lost tries again. */
export class Retry {
  readonly #attempt: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** On the monotonic clock, in milliseconds. */
  #dueAt = 0;
  #failures = 0;

  constructor(attempt: () => void) {
    this.#attempt = attempt;
  }

  /** Whether an attempt is to come. */
  get isPending(): boolean {
    return this.#timer !== undefined;
  }

  /** Tries again after a back-off that grows with each call, up to a cap in milliseconds where one is given. */
  backOff(capMs?: number): void {
    this.after(backoffMs(this.#failures, capMs));
    this.#failures += 1;
  }

  /** What is to be tried later than after so many milliseconds is tried by then. */
  hurry(withinMs: number): void {
    if (this.isPending && this.#dueAt - performance.now() > withinMs) this.after(Math.random() * withinMs);
  }

  /** Tries again after so many milliseconds, and not when it was to before. */
  after(ms: number): void {
    this.cancel();
    this.#dueAt = performance.now() + ms;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#attempt();
    }, ms);
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Tells how long the last network connection had lived, in milliseconds. */
  lived(ms: number): void {
    if (ms >= STABLE_MS) this.#failures = 0;
  }
}
