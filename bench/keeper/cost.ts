import type { DrainMeasured } from './drains.ts';
import { instancesNeeded, simulate } from './simulation.ts';

/** Parked sessions of the whole deployment. */
export const SESSIONS = 1_000_000;
/** Seconds: the default, ten minutes, an hour, and half of a Session Expiry Interval of a day. */
const DRAIN_INTERVALS = [60, 600, 3_600, 43_200];
/** Of an instance's core: the rest is for requests and attached Connections. */
export const CPU_SHARE = 0.5;

/** What keeping all those sessions drained costs. */
export interface KeeperCost {
  /** Seconds. */
  readonly drainInterval: number;
  readonly drainsPerSecond: number;
  readonly instances: number;
  /** Seconds. */
  readonly lateP99: number;
  /** Seconds until all are drained that were due at the same time, after an outage. */
  readonly caughtUp: number | null;
  /** Cores that are busy with it, in all instances together, and of Redis. */
  readonly cores: number;
  readonly redisCores: number;
  /** Scripts that Redis runs a second, those of the idle keepers with them. */
  readonly scriptsPerSecond: number;
}

/** Simulates it with what was measured. */
export function keeperCosts(measured: DrainMeasured): KeeperCost[] {
  return DRAIN_INTERVALS.map((drainInterval) => {
    const { busyP50: drainMs, cpu: drainCpu } = measured;
    const scenario = { sessions: SESSIONS, drainInterval, drainMs, drainCpu, cpuShare: CPU_SHARE };
    const instances = instancesNeeded(scenario);
    const { drainsPerSecond, lateP99 } = simulate({ ...scenario, instances, start: 'even' });
    const { caughtUp } = simulate({ ...scenario, instances, start: 'allDue' });
    return {
      drainInterval,
      drainsPerSecond,
      instances,
      lateP99,
      caughtUp,
      cores: drainsPerSecond * drainCpu + instances * measured.idleCpu,
      redisCores: drainsPerSecond * measured.redisCpu,
      scriptsPerSecond: drainsPerSecond * measured.scripts + instances * measured.idleScripts,
    };
  });
}
