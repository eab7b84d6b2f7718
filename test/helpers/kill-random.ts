import { randomInt } from 'node:crypto';

/** Random numbers that a seed repeats. */
export interface Random {
  readonly seed: number;
  /** A whole number from `min` up to, and without, `max`. */
  between(min: number, max: number): number;
  /** True that often, from 0 to 1. */
  chance(probability: number): boolean;
}

/** The seed is that of the environment variable INTEGRITY_SEED, to repeat a run that failed; else a new one. */
export function createRandom(seed = Number(process.env.INTEGRITY_SEED ?? randomInt(2 ** 31))): Random {
  let state = seed;
  const next = () => {
    // Mulberry32: small, and as random as the moments of crashes need to be.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    seed,
    between: (min, max) => min + Math.floor(next() * (max - min)),
    chance: (probability) => next() < probability,
  };
}
