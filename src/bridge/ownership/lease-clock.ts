import { Stopwatch } from '../stopwatch.ts';

/** A process, or its machine, that stood still for that part of the lease time has to ask the store before it goes on. */
const GAP = 1 / 3;
/** Part of the lease time after which an owner that could not renew stops: what it has sent by then arrives in time. */
const OVER = 0.85;
/** Beats of the clock in one lease time. */
const BEATS = 12;

/**
 * `sure`: the lease is ours; `unsure`: it is to be confirmed by the store before anything is sent; `over`: it has ended,
 * or is about to.
 */
export type Standing = 'sure' | 'unsure' | 'over';

/** The moment at which the store was asked for a lease: from then on it lasts, if the store says yes. */
export interface Asked {
  readonly since: Stopwatch;
  readonly gaps: number;
}

/**
 * The clock rule: how long a lease may be relied on without asking the store. Elapsed time is the larger of wall and
 * monotonic, and counts from before the store was asked, so that it never ends there earlier than here. A gap between
 * two beats is a process that was stopped or a machine that was suspended: whatever was known before is unsure.
 */
export class LeaseClock {
  readonly ttlMs: number;
  /** In one lease time. */
  readonly beats = BEATS;
  readonly #beat = new Stopwatch();
  #gaps = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(ttlMs: number) {
    this.ttlMs = ttlMs;
  }

  /** Beats from now on; `gapped` tells whether there was a gap since the beat before. */
  start(onBeat: (gapped: boolean) => void): void {
    let known = this.#gaps;
    this.#beat.restart();
    this.#timer = setInterval(() => {
      const gaps = this.#look();
      this.#beat.restart();
      onBeat(gaps !== known);
      known = gaps;
    }, this.ttlMs / BEATS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Call it before the store is asked. */
  ask(): Asked {
    return { since: new Stopwatch(), gaps: this.#look() };
  }

  standing({ since, gaps }: Asked): Standing {
    if (since.elapsedMs >= this.ttlMs * OVER) return 'over';
    return gaps === this.#look() ? 'sure' : 'unsure';
  }

  /** How many gaps there were. It does not wait for the next beat: what runs before that may send. */
  #look(): number {
    if (this.#timer !== undefined && this.#beat.elapsedMs > this.ttlMs * GAP) {
      this.#gaps += 1;
      this.#beat.restart();
    }
    return this.#gaps;
  }
}
