import type { Log } from '../dependencies.ts';
import type { Holder, Member, Members } from '../ports.ts';

/** An instance announces itself at a third of the lease time: two announcements may fail. */
const ANNOUNCEMENTS_PER_LEASE = 3;
/** A new Connection goes to another instance that has so many fewer, one that is there only where the part says so too. */
const MARGIN = 2;
const MOVE = { part: 1.5, margin: 5 };

export interface FleetOptions {
  members: Members;
  holder: Holder;
  leaseTtlMs: number;
  /** Connections that this instance owns, or is looking at. */
  load: () => number;
  /** After each announcement. */
  onNews: () => void;
  log: Log;
}

/** Where a Connection that nobody owns is to go. */
export interface Placement {
  /** The instance; null: this one. It is counted as given there. */
  placeElsewhere(): Promise<string | null>;
}

/** The instances that share the store: who lives, and who has least to do. */
export class Fleet implements Placement {
  readonly #options: FleetOptions;
  #others: readonly Member[] = [];
  /** Processes that were replaced, or were not seen any more, at the last announcement. */
  #ended: ReadonlySet<string> = new Set();
  #open = true;
  /** Whether this instance had clearly more to do than another one before the last announcement. */
  #wasHeavier = false;
  #timer: NodeJS.Timeout | undefined;
  /** What this instance has given to others since the last announcement. */
  readonly #given = new Map<string, number>();
  /** Connections that count as this instance's and are on their way to another one. */
  #leaving = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Resolves once this instance is announced. */
  async start(): Promise<void> {
    await this.#announce();
    const { leaseTtlMs, log } = this.#options;
    const announce = () => void this.#announce().catch((err) => log.warn({ err }, 'this instance was not announced'));
    this.#timer = setInterval(announce, leaseTtlMs / ANNOUNCEMENTS_PER_LEASE);
  }

  /** From now on nothing is placed here. */
  async close(): Promise<void> {
    this.#open = false;
    await this.#announce();
  }

  async leave(): Promise<void> {
    clearInterval(this.#timer);
    await this.#options.members.leave(this.#options.holder);
  }

  /** Whether the process that was that instance was found gone, or replaced, by the last announcement. */
  hasEnded(nodeId: string): boolean {
    return this.#ended.has(nodeId);
  }

  /** Where a Connection that nobody owns is to go: the instance that has least to do; null: this one. */
  placeElsewhere(): Promise<string | null> {
    return Promise.resolve(this.#placeElsewhere());
  }

  /**
   * Has the instance that has least to do take on one that counts as this one's; false when that is this one, or it
   * could not be told.
   */
  async passOn(tell: (nodeId: string) => Promise<void>): Promise<boolean> {
    const target = this.#placeElsewhere();
    if (target === null) return false;
    this.#leaving += 1;
    try {
      await tell(target);
      return true;
    } catch {
      return false;
    } finally {
      this.#leaving -= 1;
    }
  }

  /**
   * Where one that is owned here is to move: the instance that has least to do, if that has been clearly less at two
   * announcements; null: nowhere. What others announce is from a while ago.
   */
  moveElsewhere(): string | null {
    const least = this.#leastLoaded();
    if (least === undefined || !this.#wasHeavier || !this.#isHeavier(least)) return null;
    return this.#give(least.nodeId);
  }

  /** The instance that has least to do of the others; null when there is none. It is counted as given. */
  leastLoaded(): string | null {
    const least = this.#leastLoaded();
    return least === undefined ? null : this.#give(least.nodeId);
  }

  #placeElsewhere(): string | null {
    const least = this.#leastLoaded();
    if (least === undefined) return null;
    if (this.#open && this.#load < this.#loadOf(least) + MARGIN) return null;
    return this.#give(least.nodeId);
  }

  get #load(): number {
    return this.#options.load() - this.#leaving;
  }

  #isHeavier(least: Member): boolean {
    return this.#load > this.#loadOf(least) * MOVE.part + MOVE.margin;
  }

  #leastLoaded(): Member | undefined {
    return this.#others.filter(({ open }) => open).sort((a, b) => this.#loadOf(a) - this.#loadOf(b))[0];
  }

  #loadOf({ nodeId, load }: Member): number {
    return load + (this.#given.get(nodeId) ?? 0);
  }

  #give(nodeId: string): string {
    this.#given.set(nodeId, (this.#given.get(nodeId) ?? 0) + 1);
    return nodeId;
  }

  async #announce(): Promise<void> {
    const { members, holder, leaseTtlMs, onNews } = this.#options;
    const before = this.#leastLoaded();
    this.#wasHeavier = before !== undefined && this.#isHeavier(before);
    const all = await members.announce({ ...holder, load: this.#load, open: this.#open }, leaseTtlMs);
    const others = all.filter(({ nodeId }) => nodeId !== holder.nodeId);
    const alive = new Set(others.map((other) => other.process));
    this.#ended = new Set(this.#others.filter((other) => !alive.has(other.process)).map(({ nodeId }) => nodeId));
    this.#others = others;
    this.#given.clear();
    onNews();
  }
}
