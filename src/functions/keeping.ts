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
  readonly log: { info(details: object, text: string): void };
}

/** Milliseconds before the platform ends a run: the last drain has begun by the first, and has to be over by the second. */
const LAST_DRAIN = 5_000;
const END = 1_000;

/** One run of the keeper, in an invocation that the platform ends in `remainingMs`. */
export async function runKeeper({ keeping, log }: KeeperDependencies, remainingMs: number): Promise<Kept> {
  const signal = AbortSignal.timeout(Math.max(0, remainingMs - END));
  const kept = await keeping.keep(Math.max(0, remainingMs - LAST_DRAIN), signal);
  log.info(kept, 'the keeper has run');
  return kept;
}
