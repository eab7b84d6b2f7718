import type { Log } from '../dependencies.ts';
import type { Holder, Member, Members } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';

/** How soon the others hear of a load that changed, in milliseconds. */
export const NEWS_MS = 250;
/**
 * How old what is known of the others may be where that matters, in milliseconds: whose own load changes has it newer, and
 * does not wait for it.
 */
export const FRESH_MS = 2 * NEWS_MS;

export interface RosterOptions {
  members: Members;
  holder: Holder;
  leaseTtlMs: number;
  /** Connections that count as this instance's. */
  load: () => number;
  /** The process that was that instance was found gone, or replaced. */
  onGone: (nodeId: string) => void;
  log: Log;
}

/**
 * Who lives of the instances that share the store, and what each has to do: this one says so of itself, and hears of the
 * others.
 */
export class Roster {
  readonly #options: RosterOptions;
  #others: readonly Member[] = [];
  #isOpen = true;
  #hasLeft = false;
  /** What this instance said last, or tried to. */
  #announced = 0;
  readonly #sinceNews = new Stopwatch();
  #announcing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  get others(): readonly Member[] {
    return this.#others;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Resolves once this instance is announced. */
  async start(): Promise<void> {
    await this.#announce();
    this.#timer = setInterval(() => {
      if (this.#options.load() !== this.#announced) void this.announce();
    }, NEWS_MS);
  }

  /** From now on nothing is to be placed here. */
  async close(): Promise<void> {
    this.#isOpen = false;
    await this.#announce();
  }

  async leave(): Promise<void> {
    clearInterval(this.#timer);
    this.#hasLeft = true;
    // Said after that, it would bring this instance back.
    await this.#announcing?.catch(() => undefined);
    await this.#options.members.leave(this.#options.holder);
  }

  /** Asks for the others when what is known of them is old. */
  async catchUp(): Promise<void> {
    if (this.#sinceNews.elapsedMs > FRESH_MS) await this.announce();
  }

  /** Answers whether the store has answered; what was known before holds where it has not. */
  async announce(): Promise<boolean> {
    if (this.#hasLeft) return false;
    this.#announcing ??= this.#announce().finally(() => {
      this.#announcing = null;
    });
    try {
      await this.#announcing;
      return true;
    } catch (err) {
      this.#options.log.warn({ err }, 'this instance was not announced');
      return false;
    }
  }

  async #announce(): Promise<void> {
    const { members, holder, leaseTtlMs, onGone } = this.#options;
    const load = this.#options.load();
    // Where the store does not answer this is not tried four times a second.
    this.#announced = load;
    const all = await members.announce({ ...holder, load, open: this.#isOpen }, leaseTtlMs);
    this.#sinceNews.restart();
    const before = this.#others;
    this.#others = all.filter(({ nodeId }) => nodeId !== holder.nodeId);
    const alive = new Set(this.#others.map((other) => other.process));
    for (const { nodeId, process } of before) if (!alive.has(process)) onGone(nodeId);
  }
}
