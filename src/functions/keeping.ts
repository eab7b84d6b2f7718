export interface Kept {
  /** Sessions that were drained, and so renewed. */
  readonly drained: number;
  /** Whether there are due ones left: the next run goes on with them. */
  readonly remaining: boolean;
}

/** Drains parked sessions before they expire or overflow at the broker. */
export interface Keeping {
  /** Takes due sessions until none is left or the budget, in milliseconds, is spent; `signal` ends it at once. */
  keep(budgetMs: number, signal: AbortSignal): Promise<Kept>;
}

export interface KeeperDependencies {
  readonly keeping: Keeping;
  /** Resolves when the store is open, or has to be waited for longer than a request would. */
  ready(): Promise<void>;
  readonly log: { info(details: object, text: string): void };
}

/** Milliseconds before the platform ends a run: the last drain has begun by the first, and has to be over by the second. */
const LAST_DRAIN = 5_000;
const END = 1_000;

/** One run of the keeper, in an invocation that the platform ends in `remainingMs`. */
export async function runKeeper({ keeping, ready, log }: KeeperDependencies, remainingMs: number): Promise<Kept> {
  const lastDrain = Date.now() + remainingMs - LAST_DRAIN;
  const signal = AbortSignal.timeout(Math.max(0, remainingMs - END));
  await ready();
  const kept = await keeping.keep(Math.max(0, lastDrain - Date.now()), signal);
  log.info(kept, 'the keeper has run');
  return kept;
}
