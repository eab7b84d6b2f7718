import type { Target } from '../figures.ts';
import type { Load } from '../load-generator.ts';
import { medianOf, ratio } from '../statistics.ts';
import type { ForwardingResult, Place } from './forwarding.ts';
import type { Routing, ScalingResult } from './scaling.ts';

export interface ForwardingFigures extends Omit<Load, 'cpuPer1000'> {
  readonly place: Place;
  /** Requests/s and p50 in relation to those at the owner: medians of the rounds' own ratios. */
  readonly toOwner: number;
  readonly p50ToOwner: number;
  /** Seconds per 1,000 requests. */
  readonly ownerCpu: number;
  readonly otherCpu: number;
  readonly redisCpu: number;
}

export interface ScalingFigures extends Omit<Load, 'cpuPer1000'> {
  readonly instances: number;
  readonly routing: Routing;
  /** Seconds per 1,000 requests: of all instances, and of Redis. */
  readonly instancesCpu: number;
  readonly redisCpu: number;
}

export function forwardingFigures(result: ForwardingResult): ForwardingFigures[] {
  return (['owner', 'other'] as const).map((place) => {
    const rounds = result[place];
    const cpu = (index: number) => medianOf(rounds, ({ cpuPer1000 }) => cpuPer1000[index] ?? Number.NaN);
    return {
      place,
      ...loadFigures(rounds),
      toOwner: ratio(rounds, result.owner, ({ requestsPerSecond }) => requestsPerSecond),
      p50ToOwner: ratio(rounds, result.owner, ({ p50 }) => p50),
      ownerCpu: cpu(0),
      otherCpu: cpu(1),
      redisCpu: cpu(2),
    };
  });
}

export function scalingFigures(results: readonly ScalingResult[]): ScalingFigures[] {
  return results.map(({ instances, routing, rounds }) => ({
    instances,
    routing,
    ...loadFigures(rounds),
    instancesCpu: medianOf(rounds, ({ cpuPer1000 }) => cpuPer1000.slice(0, -1).reduce((sum, cpu) => sum + cpu, 0)),
    redisCpu: medianOf(rounds, ({ cpuPer1000 }) => cpuPer1000.at(-1) ?? Number.NaN),
  }));
}

/** What a request costs that does not arrive at the owner. */
export function forwardingTargets(figures: readonly ForwardingFigures[]): Target[] {
  return figures.flatMap(({ place, toOwner, p50ToOwner }) => {
    if (place === 'owner') return [];
    const what = 'publish at QoS 1 at another instance';
    return [
      { what: `${what}, to the owner`, bound: 0.5, measured: toOwner },
      { what: `${what}, p50 to the owner`, bound: 2, isUpper: true, measured: p50ToOwner },
    ];
  });
}

function loadFigures(rounds: readonly Load[]): Omit<Load, 'cpuPer1000'> {
  return {
    requestsPerSecond: medianOf(rounds, ({ requestsPerSecond }) => requestsPerSecond),
    p50: medianOf(rounds, ({ p50 }) => p50),
    p99: medianOf(rounds, ({ p99 }) => p99),
  };
}
