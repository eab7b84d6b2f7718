import type { FlowReport } from '../helpers/kill-traffic.ts';

/** Breakages in a round, after which its ledger is made up. */
export const PER_ROUND = 25;
/** Milliseconds for all to arrive when nothing breaks any more: a Connection may wait a minute to try again. */
export const PATIENCE = 120_000;

/** What became of the messages of a round, and what happened to it. */
export interface Round {
  readonly reports: readonly FlowReport[];
  readonly breakages: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
}

/** A name out of a table in which each has a weight. */
export function choose(
  table: Readonly<Record<string, { readonly weight: number }>>,
  random: { between(min: number, max: number): number },
): string {
  const tickets = Object.entries(table).flatMap(([name, { weight }]) => Array.from({ length: weight }, () => name));
  return tickets[random.between(0, tickets.length)] ?? '';
}
