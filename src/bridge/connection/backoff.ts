const BASE_MS = 500;
const CAP_MS = 60_000;

/**
 * Exponential back-off with full jitter: after failure n (from 0) a random time up to the n-th bound, in milliseconds,
 * and never above the cap. The jitter is on the cap too: what fails together must not come back together.
 */
export function backoffMs(failures: number, capMs = CAP_MS, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(CAP_MS, capMs, BASE_MS * 2 ** Math.min(failures, 16)));
}
