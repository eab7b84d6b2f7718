import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Fleet } from '../../../../src/bridge/fleet/fleet.ts';
import { FRESH_MS } from '../../../../src/bridge/fleet/roster.ts';
import type { Members } from '../../../../src/bridge/ports.ts';
import { MemoryMembers } from '../../../../src/store/sqlite/members.ts';

const LEASE_TTL_MS = 60_000;

const fleets: Fleet[] = [];
afterEach(() => Promise.all(fleets.splice(0).map((fleet) => fleet.leave())));

function newFleet(members: Members, nodeId: string, load: () => number): Fleet {
  const fleet = new Fleet({
    members,
    holder: { nodeId, process: `process of ${nodeId}` },
    leaseTtlMs: LEASE_TTL_MS,
    load,
    onGone: () => undefined,
    onReview: () => undefined,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  fleets.push(fleet);
  return fleet;
}

describe('a Connection that has lost its owner', () => {
  /** An instance that counts so many Connections as its own, beside others that have announced so many. */
  async function startFleet(load: number, others: Readonly<Record<string, number>>): Promise<Fleet> {
    const list = Object.entries(others).map(([nodeId, theirs]) => {
      return { nodeId, process: `process of ${nodeId}`, load: theirs, open: true };
    });
    const members: Members = {
      announce: (self) => Promise.resolve([...list, self]),
      leave: () => Promise.resolve(),
      list: () => Promise.resolve(list),
      time: () => Promise.resolve(0),
    };
    const fleet = newFleet(members, 'self', () => load);
    await fleet.start();
    return fleet;
  }

  it('is left to the instance that has least to do: of many at once, each gets its part', async () => {
    // 8 that it owns, and 8 that it looks at.
    const fleet = await startFleet(16, { b: 8 });
    const told: string[] = [];
    const tell = async (nodeId: string) => void told.push(nodeId);
    const passed = await Promise.all(Array.from({ length: 8 }, () => fleet.passOn(tell)));
    expect(passed.filter((isPassed) => isPassed)).toHaveLength(4);
    expect(told).toEqual(['b', 'b', 'b', 'b']);
  });

  it('stays with whoever looks at it when the other instance cannot be told', async () => {
    const fleet = await startFleet(16, { b: 8 });
    expect(await fleet.passOn(() => Promise.reject(new Error('no answer')))).toBe(false);
  });

  it('stays when no other instance has less to do, or none is there', async () => {
    const tell = () => Promise.reject(new Error('unreachable'));
    expect(await (await startFleet(9, { b: 8 })).passOn(tell)).toBe(false);
    expect(await (await startFleet(9, {})).passOn(tell)).toBe(false);
  });
});

describe('new Connections', () => {
  /** Instances that start at the same time, and own nothing yet. */
  async function startAll(count: number): Promise<{ owned: number[]; declare: (at: number) => Promise<void> }> {
    const members = new MemoryMembers(Date.now);
    const owned = Array.from({ length: count }, () => 0);
    const started = owned.map((_, index) => newFleet(members, String(index), () => owned[index] ?? 0));
    for (const fleet of started) await fleet.start();
    // The first has heard of none of the others by then, and announces itself again in a minute.
    await pause(1.1 * FRESH_MS);
    const declare = async (at: number) => {
      const target = Number((await started[at]?.placeElsewhere()) ?? at);
      // A lease is taken, which takes a while.
      await pause(5);
      owned[target] = (owned[target] ?? 0) + 1;
    };
    return { owned, declare };
  }

  it.each([
    ['all asked of one instance at once', 60, () => 0],
    ['asked of all of them at once', 60, (index: number) => index % 3],
  ])('%s are spread evenly', async (_, count, instanceOf) => {
    const { owned, declare } = await startAll(3);
    await Promise.all(Array.from({ length: count }, (_, index) => declare(instanceOf(index))));
    expect(owned.reduce((sum, load) => sum + load)).toBe(count);
    for (const load of owned) expect(Math.abs(load - count / 3), String(owned)).toBeLessThanOrEqual(2);
  });

  it('asked of one instance after the other for a while are spread evenly', async () => {
    const { owned, declare } = await startAll(3);
    for (let index = 0; index < 90; index += 6) {
      await Promise.all(Array.from({ length: 6 }, (_, place) => declare((index + place) % 3)));
      await pause(50);
    }
    for (const load of owned) expect(Math.abs(load - 30), String(owned)).toBeLessThanOrEqual(5);
  });
});
