import { unlessAborted } from '../waiting.ts';

interface Line {
  taken: number;
  /** Who waits, in the order in which they came. */
  readonly waiting: Set<() => void>;
}

/**
 * Attempts to attach take turns: at most so many at the same time at each broker, the others wait in line. A broker
 * that comes back, or a bridge that starts, must not meet thousands of handshakes at once.
 */
export class Turns {
  readonly #atOnce: number;
  readonly #lines = new Map<string, Line>();

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Runs a task when its turn has come; rejects with the signal's reason when that comes first. */
  async run<Result>(broker: string, signal: AbortSignal, task: () => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const line = this.#lineOf(broker);
    if (line.taken < this.#atOnce) line.taken += 1;
    else await this.#wait(broker, line, signal);
    try {
      return await task();
    } finally {
      this.#pass(broker, line);
    }
  }

  #lineOf(broker: string): Line {
    const line = this.#lines.get(broker) ?? { taken: 0, waiting: new Set() };
    this.#lines.set(broker, line);
    return line;
  }

  async #wait(broker: string, line: Line, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    line.waiting.add(resolve);
    try {
      await unlessAborted(signal, promise);
    } catch (reason) {
      // One whose turn came in the same moment passes it on.
      if (!line.waiting.delete(resolve)) this.#pass(broker, line);
      throw reason;
    }
  }

  /** Hands the turn to the next in line, so that nobody who comes later can take it. */
  #pass(broker: string, line: Line): void {
    const [next] = line.waiting;
    if (next !== undefined) {
      line.waiting.delete(next);
      next();
      return;
    }
    line.taken -= 1;
    if (line.taken === 0) this.#lines.delete(broker);
  }
}
