import { setTimeout as delay } from 'node:timers/promises';

export interface UntilOptions {
  /** Named in the error when the time is over. */
  readonly what: string;
  /** Milliseconds until it gives up; 10,000 when not said. */
  readonly within?: number;
}

/**
 * Waits until `probe` answers something other than `undefined`, `null` or `false`, and answers that. A probe that
 * throws ends the wait with its error. For what announces itself (an event, a line of output), await that instead.
 */
export async function until<T>(
  probe: () => T | Promise<T>,
  { what, within = 10_000 }: UntilOptions,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + within;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as Exclude<T, undefined | null | false>;
    }
    if (performance.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
    await delay(20);
  }
}
