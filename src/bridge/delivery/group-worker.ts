/**
 * Collects items while a group is being worked on and then takes all that came meanwhile (up to a bound) as the next
 * group: at low load a group of one without delay, at high load as large as the work is slow. Groups keep the order.
 * The first failure stops it for good; what was not done by then is dropped. Once stopped, it tells of no failure.
 */
export class GroupWorker<Item> {
  readonly #work: (group: Item[]) => Promise<void>;
  readonly #onFailure: (error: unknown) => void;
  readonly #maxGroup: number;
  readonly #maxBytes: number;
  readonly #bytesOf: (item: Item) => number;
  #waiting: Item[] = [];
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(options: {
    work: (group: Item[]) => Promise<void>;
    onFailure: (error: unknown) => void;
    maxGroup: number;
    /** A group ends with the item that reaches this. */
    maxBytes?: number;
    bytesOf?: (item: Item) => number;
  }) {
    this.#work = options.work;
    this.#onFailure = options.onFailure;
    this.#maxGroup = options.maxGroup;
    this.#maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#bytesOf = options.bytesOf ?? (() => 0);
  }

  /** Whether nothing waits or is being worked on. */
  get isIdle(): boolean {
    return this.#running === null && this.#waiting.length === 0;
  }

  /** Adds an item; `start` begins the work. */
  add(item: Item): void {
    this.#waiting.push(item);
  }

  /** Begins to work on what was added, unless that is under way already. */
  start(): void {
    if (this.#stopped || this.#waiting.length === 0) return;
    this.#running ??= this.#run();
  }

  /** Resolves when all that was added is done, or the worker has stopped. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** No further group is begun. */
  stop(): void {
    this.#stopped = true;
    this.#waiting = [];
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#stopped) {
        const group = this.#takeGroup();
        await this.#work(group);
      }
    } catch (error) {
      // Whoever stopped it knows already: one outage is one failure, however many groups it hits.
      if (this.#stopped) return;
      this.stop();
      this.#onFailure(error);
    } finally {
      this.#running = null;
    }
  }

  #takeGroup(): Item[] {
    let count = 0;
    for (let bytes = 0; count < Math.min(this.#waiting.length, this.#maxGroup) && bytes < this.#maxBytes; count += 1) {
      bytes += this.#bytesOf(this.#waiting[count] as Item);
    }
    if (count < this.#waiting.length) return this.#waiting.splice(0, count);
    const group = this.#waiting;
    this.#waiting = [];
    return group;
  }
}
