import type { Problem } from '../../errors/problem.ts';
import type { Turns } from './turns.ts';

interface Attempt {
  readonly signal: AbortSignal;
  readonly done: Promise<void>;
  /** It was interrupted to be made anew, with other parameters. */
  anew: boolean;
}

/**
 * The attempts to attach one Connection: one at a time, which all share who want it online; each in its turn among those
 * of other Connections at the same broker; and each can be interrupted.
 */
export class Attempts {
  readonly #turns: Turns;
  readonly #attach: (signal: AbortSignal) => Promise<void>;
  #underWay: Attempt | null = null;
  /** Settles when the latest attempt has ended, be it interrupted. */
  #latest: Promise<void> = Promise.resolve();
  #interrupt = new AbortController();

  constructor(turns: Turns, attach: (signal: AbortSignal) => Promise<void>) {
    this.#turns = turns;
    this.#attach = attach;
  }

  /** False from the moment of an interruption: what was interrupted may still be ending. */
  get isUnderWay(): boolean {
    return this.#underWay !== null;
  }

  /** Aborted by the next `interrupt`: for whatever must not wait for a broker that does not answer. */
  get signal(): AbortSignal {
    return this.#interrupt.signal;
  }

  /**
   * Joins the attempt under way, or waits for a turn at the broker and makes one. When it is interrupted, the next one is
   * joined if there is one by then, or if it was interrupted to be made anew; else this rejects with the reason.
   */
  async join(broker: string): Promise<void> {
    for (;;) {
      this.#underWay ??= this.#begin(broker);
      const attempt = this.#underWay;
      try {
        await attempt.done;
        return;
      } catch (error) {
        if (!attempt.signal.aborted || !(attempt.anew || this.isUnderWay)) throw error;
      }
    }
  }

  /** Ends what is under way, with a reason. Resolves when the attempt has ended; whoever asks next gets a new one. */
  interrupt(reason: Problem, { anew } = { anew: false }): Promise<void> {
    if (this.#underWay !== null) this.#underWay.anew = anew;
    this.#underWay = null;
    this.#interrupt.abort(reason);
    this.#interrupt = new AbortController();
    return this.#latest;
  }

  #begin(broker: string): Attempt {
    const { signal } = this;
    const done = this.#latest
      .then(() => this.#turns.run(broker, signal, () => this.#attach(signal)))
      .finally(() => {
        if (this.#underWay === attempt) this.#underWay = null;
      });
    const attempt: Attempt = { signal, done, anew: false };
    this.#latest = done.catch(() => undefined);
    return attempt;
  }
}
