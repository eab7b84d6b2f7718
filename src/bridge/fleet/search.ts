import { setTimeout as pause } from 'node:timers/promises';
import { NotOwner } from '../link/link-problems.ts';
import type { Key } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';
import { Line, type LineOptions } from './line.ts';

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;
/** Until a process that stands in line asks again, though it was not told that its turn has come; it may not be forgotten there. */
const IN_LINE_MS = 400;

export interface SearchOptions extends LineOptions {
  /** How long an owner is looked for while the lease is on its way from one instance to another, in milliseconds. */
  readonly searchMs: number;
}

/** The search of one request for the owner of a Connection: when it is asked again, and until when. */
export class Search {
  readonly #options: SearchOptions;
  readonly #lasts = new Stopwatch();
  readonly #lines = new Map<Key, Line>();
  #pauses = 0;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  get isOver(): boolean {
    return this.#lasts.elapsedMs >= this.#options.searchMs;
  }

  /** After an answer that it was asked of the wrong instance. */
  async pause(answer: unknown): Promise<void> {
    const key = answer instanceof NotOwner ? answer.inLineFor : null;
    // With jitter: what waits for the same hand-over must not ask all at once.
    const jitter = 0.5 + Math.random() / 2;
    if (key !== null) return this.#lineFor(key).turn(jitter * IN_LINE_MS);
    const ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses);
    this.#pauses += 1;
    await pause(jitter * ms);
  }

  end(): void {
    for (const line of this.#lines.values()) {
      if (this.isOver) line.giveUp();
      else line.end();
    }
  }

  #lineFor(key: Key): Line {
    const line = this.#lines.get(key) ?? new Line(key, this.#options);
    this.#lines.set(key, line);
    return line;
  }
}
