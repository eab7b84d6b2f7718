import type { Member } from '../ports.ts';
import { FRESH_MS, NEWS_MS, Roster, type RosterOptions } from './roster.ts';

/** Of who has clearly more to do. Each is an announcement: two may fail. */
const REVIEWS_PER_LEASE = 3;
/** A new Connection goes to another instance that has so many fewer, one that is there only where the part says so too. */
const MARGIN = 2;
const MOVE = { part: 1.5, margin: 5 };
/** Until what was placed somewhere is owned there, was announced from there and was read here, in milliseconds. */
const PLACED_MS = NEWS_MS + FRESH_MS;

export interface FleetOptions extends RosterOptions {
  /** At the start, and three times per lease time. */
  onReview: () => void;
}

/** Where a Connection that nobody owns is to go. */
export interface Placement {
  /** The instance; null: this one. It is counted as placed there. */
  placeElsewhere(): Promise<string | null>;
}

/** The instances that share the store: which of them is to take what. */
export class Fleet implements Placement {
  readonly #options: FleetOptions;
  readonly #roster: Roster;
  /** Whether this instance had clearly more to do than another one before the last review. */
  #wasHeavier = false;
  /** What was placed from here a moment ago, here too: no load that was announced may include it yet. */
  readonly #placed = new Map<string, number>();
  /** Connections that count as this instance's and are on their way to another one. */
  #leaving = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#roster = new Roster({ ...options, load: () => this.#load });
  }

  /** Resolves once this instance is announced. */
  async start(): Promise<void> {
    const { leaseTtlMs, onReview } = this.#options;
    await this.#roster.start();
    onReview();
    this.#timer = setInterval(() => void this.#review(), leaseTtlMs / REVIEWS_PER_LEASE);
  }

  /** From now on nothing is placed here. */
  close(): Promise<void> {
    return this.#roster.close();
  }

  async leave(): Promise<void> {
    clearInterval(this.#timer);
    await this.#roster.leave();
  }

  /** Where a Connection that nobody owns is to go: the instance that has least to do; null: this one. */
  async placeElsewhere(): Promise<string | null> {
    await this.#roster.catchUp();
    const target = this.#lighter();
    this.#place(target ?? this.#options.holder.nodeId);
    return target;
  }

  /**
   * Has the instance that has least to do take on one that counts as this one's; false when that is this one, or it
   * could not be told.
   */
  async passOn(tell: (nodeId: string) => Promise<void>): Promise<boolean> {
    await this.#roster.catchUp();
    const target = this.#lighter();
    if (target === null) return false;
    this.#place(target);
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
   * reviews; null: nowhere. One that looks idle now may have just begun.
   */
  moveElsewhere(): string | null {
    const least = this.#leastLoaded();
    if (least === undefined || !this.#wasHeavier || !this.#isHeavier(least)) return null;
    return this.#place(least.nodeId);
  }

  /** The instance that has least to do of the others; null when there is none. It is counted as placed there. */
  leastLoaded(): string | null {
    const least = this.#leastLoaded();
    return least === undefined ? null : this.#place(least.nodeId);
  }

  /** The instance that has least to do, if that is another one. */
  #lighter(): string | null {
    const least = this.#leastLoaded();
    if (least === undefined) return null;
    const own = this.#load + this.#placedAt(this.#options.holder.nodeId);
    return this.#roster.isOpen && own < this.#loadOf(least) + MARGIN ? null : least.nodeId;
  }

  get #load(): number {
    return this.#options.load() - this.#leaving;
  }

  #isHeavier(least: Member): boolean {
    return this.#load > this.#loadOf(least) * MOVE.part + MOVE.margin;
  }

  #leastLoaded(): Member | undefined {
    return this.#roster.others.filter(({ open }) => open).sort((a, b) => this.#loadOf(a) - this.#loadOf(b))[0];
  }

  #loadOf({ nodeId, load }: Member): number {
    return load + this.#placedAt(nodeId);
  }

  #placedAt(nodeId: string): number {
    return this.#placed.get(nodeId) ?? 0;
  }

  #place(nodeId: string): string {
    const count = (change: number) => this.#placed.set(nodeId, this.#placedAt(nodeId) + change);
    count(1);
    setTimeout(count, PLACED_MS, -1).unref();
    return nodeId;
  }

  async #review(): Promise<void> {
    const least = this.#leastLoaded();
    this.#wasHeavier = least !== undefined && this.#isHeavier(least);
    if (await this.#roster.announce()) this.#options.onReview();
  }
}
