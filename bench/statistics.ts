/** The middle value, or the mean of the middle two. `NaN` of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = Math.floor(sorted.length / 2);
  const lower = sorted.length % 2 === 0 ? upper - 1 : upper;
  return ((sorted[lower] ?? Number.NaN) + (sorted[upper] ?? Number.NaN)) / 2;
}

/** The nearest-rank percentile of values in ascending order: exact, because all of them are there. */
export function percentile(sorted: Float64Array | readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** The median over the rounds of a measurement. */
export function medianOf<Round>(rounds: readonly Round[], value: (round: Round) => number): number {
  return median(rounds.map(value));
}

/** Of each round to the same round of the other, since the machine's speed changes from round to round. */
export function ratio<Round>(
  rounds: readonly Round[],
  others: readonly Round[],
  value: (round: Round) => number,
): number {
  return medianOf(
    rounds.map((round, index) => {
      const other = others[index];
      return other === undefined ? Number.NaN : value(round) / value(other);
    }),
    (quotient) => quotient,
  );
}
