import { parseArgs } from 'node:util';

export const PARTS = ['publish', 'inbound', 'cold-start', 'fleet', 'keeper', 'function'] as const;
export type Part = (typeof PARTS)[number];

/** How long and how often is measured. */
export interface Plan {
  /** Of the publish comparison; medians are over them. */
  readonly publishRounds: number;
  /** Milliseconds for each contestant in each round. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly inboundRounds: number;
  /**
   * Queued for each contestant in each round, by QoS: the broker needs several times as long for one at QoS 2. At QoS 1
   * a multiple of `MANY_CONNECTIONS`.
   */
  readonly inboundMessages: Readonly<Record<1 | 2, number>>;
  readonly fleetRounds: number;
  /** Milliseconds of each contestant before the rounds of a fleet: what is between instances takes long to be compiled. */
  readonly fleetWarmUpMs: number;
  /** Connections of one instance: those that are attached, and all, most of them parked. */
  readonly attached: number;
  readonly known: number;
  /** Parked sessions that are drained at once in each round, and those that are drained one by one before. */
  readonly drained: number;
  readonly drainedAlone: number;
  readonly drainRounds: number;
  /** Processes that each contestant is started in, one after the other. */
  readonly coldStarts: number;
}

const DEFAULT: Plan = {
  publishRounds: 7,
  warmUpMs: 300,
  measureMs: 1_000,
  inboundRounds: 7,
  inboundMessages: { 1: 60_000, 2: 20_000 },
  fleetRounds: 7,
  fleetWarmUpMs: 12_000,
  attached: 5_000,
  known: 100_000,
  drained: 2_000,
  drainedAlone: 100,
  drainRounds: 3,
  coldStarts: 25,
};
const QUICK: Plan = {
  publishRounds: 2,
  warmUpMs: 300,
  measureMs: 700,
  inboundRounds: 1,
  inboundMessages: { 1: 20_000, 2: 10_000 },
  fleetRounds: 2,
  fleetWarmUpMs: 3_000,
  attached: 500,
  known: 5_000,
  drained: 300,
  drainedAlone: 20,
  drainRounds: 1,
  coldStarts: 7,
};

export interface Options {
  readonly plan: Plan;
  readonly parts: readonly Part[];
  readonly json: boolean;
  /** Where the bridges write CPU profiles when they end; null: they do not. */
  readonly profile: string | null;
}

/** Reads the command line. Throws an error that says what is wrong with it. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      only: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  return {
    plan: values.quick ? QUICK : DEFAULT,
    parts: readParts(values.only),
    json: values.json,
    profile: values.profile ?? null,
  };
}

function readParts(only: string | undefined): readonly Part[] {
  if (only === undefined) return PARTS;
  const part = PARTS.find((known) => known === only);
  if (part === undefined) throw new Error(`--only is one of ${PARTS.join(', ')}, and not ${only}`);
  return [part];
}
