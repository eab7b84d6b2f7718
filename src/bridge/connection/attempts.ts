import type { Turns } from './turns.ts';

/**
 * The attempts to attach one Connection: one at a time, which all share who want it online; each in its turn among those
 * of other Connections at the same broker; and each can be interrupted.
 */
export class Attempts {
  readonly #turns: Turns;
  readonly #attach: (signal: AbortSignal) => Promise<void>;
  #underWay: Promise<void> | null = null;
  #interrupt = new AbortController();

  constructor(turns: Turns, attach: (signal: AbortSignal) => Promise<void>) {
    this.#turns = turns;
    this.#attach = attach;
  }

  get isUnderWay(): boolean {
    return this.#underWay !== null;
  }

  /** Aborted by `interrupt`: for whatever begins now and must not wait for a broker that does not answer. */
  get signal(): AbortSignal {
    if (this.#interrupt.signal.aborted) this.#interrupt = new AbortController();
    return this.#interrupt.signal;
  }

  /** Joins the attempt under way, or waits for a turn at the broker and makes one. */
  join(broker: string): Promise<void> {
    const { signal } = this;
    this.#underWay ??= this.#turns
      .run(broker, signal, () => this.#attach(signal))
      .finally(() => {
        this.#underWay = null;
      });
    return this.#underWay;
  }

  /** Ends what is under way: it rejects with the reason. */
  interrupt(reason: unknown): void {
    this.#interrupt.abort(reason);
  }
}
