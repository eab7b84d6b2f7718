/**
 * The keepers of some instances with very many parked sessions, in steps of the keepers' own interval. Nothing is drawn
 * by chance and no clock is read: the same numbers give the same answer.
 */

/** What a keeper does: `INTERVAL_MS` and `AT_ONCE` of src/bridge/keeper.ts; a test holds these against it. */
export const KEEPER = { intervalMs: 250, atOnce: 100 } as const;

export interface Scenario {
  readonly sessions: number;
  readonly instances: number;
  /** Seconds until a session that was drained is due again. */
  readonly drainInterval: number;
  /** Milliseconds that a drain takes. */
  readonly drainMs: number;
  /** Seconds of CPU that a drain takes, and the part of each instance's one core that the keeper may have. */
  readonly drainCpu: number;
  readonly cpuShare: number;
  /** Whether all are due at the start, as after an outage, or evenly over the first interval. */
  readonly start: 'even' | 'allDue';
}

export interface Simulated {
  readonly drainsPerSecond: number;
  /** Seconds after which they were drained that they were due, in the last interval: of 99 in 100, and the most. */
  readonly lateP99: number;
  readonly lateMost: number;
  /** Seconds from the start until nothing was due any more; null: never. */
  readonly caughtUp: number | null;
}

/** Intervals that are simulated: the last one is what it settles to. */
const INTERVALS = 4;

export function simulate(scenario: Scenario): Simulated {
  const { sessions, instances, drainInterval, drainMs, drainCpu, cpuShare, start } = scenario;
  const stepSeconds = KEEPER.intervalMs / 1000;
  const period = Math.round(drainInterval / stepSeconds);
  const steps = period * INTERVALS;
  // A place that becomes free is filled at the next step.
  const drainSteps = Math.ceil(drainMs / KEEPER.intervalMs);
  const startsPerStep = (instances * cpuShare * stepSeconds) / drainCpu;
  /** Sessions that become due in each step, and drains that end in it. */
  const due = new Float64Array(steps + period + drainSteps + 1);
  const ending = new Float64Array(steps + drainSteps + 1);
  if (start === 'allDue') due[0] = sessions;
  else due.fill(sessions / period, 0, period);

  let underWay = 0;
  let oldest = 0;
  let allowed = 0;
  let caughtUp: number | null = null;
  let drained = 0;
  const late = new Map<number, number>();
  for (let step = 0; step < steps; step += 1) {
    underWay -= ending[step] ?? 0;
    // What the CPU allowed and nobody used is gone, except what is less than one drain.
    allowed = Math.min(allowed, 1) + startsPerStep;
    let room = Math.min(instances * KEEPER.atOnce - underWay, allowed);
    while (room > 0 && oldest <= step) {
      const waiting = due[oldest] ?? 0;
      const taken = Math.min(waiting, room);
      due[oldest] = waiting - taken;
      room -= taken;
      allowed -= taken;
      underWay += taken;
      add(ending, step + drainSteps, taken);
      add(due, step + drainSteps + period, taken);
      if (step >= steps - period) {
        drained += taken;
        late.set(step - oldest, (late.get(step - oldest) ?? 0) + taken);
      }
      if (waiting > taken) break;
      oldest += 1;
    }
    if (oldest > step) caughtUp ??= step * stepSeconds;
  }
  const lateness = [...late].sort(([one], [other]) => one - other);
  return {
    drainsPerSecond: drained / drainInterval,
    lateP99: shareOf(lateness, 0.99, drained) * stepSeconds,
    lateMost: (lateness.at(-1)?.[0] ?? 0) * stepSeconds,
    caughtUp,
  };
}

/** The fewest instances with which 99 of 100 sessions are late by less than a twentieth of their interval. */
export function instancesNeeded(scenario: Omit<Scenario, 'instances' | 'start'>): number {
  for (let instances = 1; ; instances += 1) {
    const { lateP99 } = simulate({ ...scenario, instances, start: 'even' });
    if (lateP99 <= scenario.drainInterval / 20) return instances;
  }
}

function add(counts: Float64Array, step: number, count: number): void {
  counts[step] = (counts[step] ?? 0) + count;
}

/** How late that share of all is at the most. */
function shareOf(lateness: readonly (readonly [number, number])[], share: number, total: number): number {
  let seen = 0;
  for (const [steps, count] of lateness) {
    seen += count;
    if (seen >= share * total) return steps;
  }
  return 0;
}
