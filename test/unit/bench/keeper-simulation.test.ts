import { expect, test } from 'vitest';
import { instancesNeeded, KEEPER, type Scenario, simulate } from '../../../bench/keeper/simulation.ts';
import { read } from '../docs/markdown.ts';

/** 100 places, and a drain of one and a bit steps: 100 drains in two steps of 250 ms. */
const PER_SECOND = 200;

const scenario: Scenario = {
  sessions: 10_000,
  instances: 1,
  drainInterval: 100,
  drainMs: 260,
  drainCpu: 0.001,
  cpuShare: 1,
  start: 'even',
};

test('it has the keeper’s own numbers', () => {
  const keeper = read('src/bridge/keeper.ts');
  const named = (name: string) =>
    Number(new RegExp(`^const ${name} = ([\\d_]+);$`, 'm').exec(keeper)?.[1]?.replaceAll('_', ''));
  expect(KEEPER).toEqual({ intervalMs: named('INTERVAL_MS'), atOnce: named('AT_ONCE') });
});

test('with room, each session is drained when it is due', () => {
  const { drainsPerSecond, lateP99, caughtUp } = simulate(scenario);
  // Drained, and due again after the interval: a little less often than once in it.
  expect(drainsPerSecond).toBeCloseTo(scenario.sessions / scenario.drainInterval, -1);
  expect(lateP99).toBe(0);
  expect(caughtUp).toBe(0);
});

test('what is due at once takes as long as the places make it', () => {
  const { caughtUp } = simulate({ ...scenario, start: 'allDue' });
  expect(caughtUp).toBeCloseTo(scenario.sessions / PER_SECOND, 0);
});

test('too many sessions are late, and never caught up with', () => {
  const tooMany = { ...scenario, sessions: PER_SECOND * scenario.drainInterval * 1.5 };
  const { lateP99, caughtUp, drainsPerSecond } = simulate({ ...tooMany, start: 'allDue' });
  expect(drainsPerSecond).toBeCloseTo(PER_SECOND, -1);
  expect(lateP99).toBeGreaterThan(1);
  expect(caughtUp).toBeNull();
});

test('CPU bounds it where it is scarcer than places', () => {
  const slow = { ...scenario, drainCpu: 0.01, start: 'allDue' } as const;
  expect(simulate(slow).caughtUp).toBeCloseTo(scenario.sessions / 100, -1);
});

test('as many instances as the sessions need, and not one more', () => {
  expect(instancesNeeded(scenario)).toBe(1);
  expect(instancesNeeded({ ...scenario, sessions: 3.5 * PER_SECOND * scenario.drainInterval })).toBe(4);
});

test('the same numbers give the same answer', () => {
  expect(simulate(scenario)).toEqual(simulate(scenario));
});
