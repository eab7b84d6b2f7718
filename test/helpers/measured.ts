/** Prints how long something took, many times over: what a guarantee bounds is worth knowing when it holds, too. */
export function printTimes(what: string, times: readonly number[]): void {
  const sorted = times.map(Math.round).toSorted((one, other) => one - other);
  const median = sorted[Math.floor(sorted.length / 2)];
  const range = sorted.length === 1 ? `${median} ms` : `median ${median} ms, longest ${sorted.at(-1)} ms`;
  print(sorted.length === 0 ? `${what}: none` : `${what}: ${range} (${sorted.length})`);
}

/** Prints a line about what was found. */
export function print(line: string): void {
  console.info(line);
}
