import type { Log } from '../dependencies.ts';
import type { Holder, Member, Members } from '../ports.ts';

/** An instance announces itself at a third of the lease time: two announcements may fail. */
const ANNOUNCEMENTS_PER_LEASE = 3;
/** An instance takes another's work only when it has clearly less: this part, and so many Connections, more. */
const TOLERANCE = { part: 1.2, connections: 5 };

export interface FleetOptions {
  members: Members;
  holder: Holder;
  leaseTtlMs: number;
  /** Connections that this instance owns. */
  load: () => number;
  /** After each announcement. */
  onNews: () => void;
  log: Log;
}

/** The instances that share the store: who lives, and who has least to do. */
export class Fleet {
  readonly #options: FleetOptions;
  #others: readonly Member[] = [];
  /** Processes that were replaced, or were not seen any more, at the last announcement. */
  #ended: ReadonlySet<string> = new Set();
  #open = true;
  #timer: NodeJS.Timeout | undefined;
  /** What this instance has given to others since the last announcement. */
  readonly #given = new Map<string, number>();

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

  /** The instance that has least to do, if that is clearly another one; null: this one. It is counted as given. */
  placeElsewhere(): string | null {
    const least = this.#leastLoaded();
    if (least === undefined) return null;
    const bound = this.#loadOf(least) * TOLERANCE.part + TOLERANCE.connections;
    if (this.#open && this.#options.load() < bound) return null;
    return this.#give(least.nodeId);
  }

  /** The instance that has least to do of the others; null when there is none. It is counted as given. */
  leastLoaded(): string | null {
    const least = this.#leastLoaded();
    return least === undefined ? null : this.#give(least.nodeId);
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
    const { members, holder, leaseTtlMs, load, onNews } = this.#options;
    const all = await members.announce({ ...holder, load: load(), open: this.#open }, leaseTtlMs);
    const others = all.filter(({ nodeId }) => nodeId !== holder.nodeId);
    const alive = new Set(others.map((other) => other.process));
    this.#ended = new Set(this.#others.filter((other) => !alive.has(other.process)).map(({ nodeId }) => nodeId));
    this.#others = others;
    this.#given.clear();
    onNews();
  }
}
