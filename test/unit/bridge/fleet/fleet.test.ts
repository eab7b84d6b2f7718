import { afterEach, describe, expect, it } from 'vitest';
import { Fleet } from '../../../../src/bridge/fleet/fleet.ts';
import type { Members } from '../../../../src/bridge/ports.ts';

const LEASE_TTL_MS = 60_000;

describe('a Connection that has lost its owner', () => {
  const fleets: Fleet[] = [];
  afterEach(() => Promise.all(fleets.splice(0).map((fleet) => fleet.leave())));

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
    const fleet = new Fleet({
      members,
      holder: { nodeId: 'self', process: 'process of self' },
      leaseTtlMs: LEASE_TTL_MS,
      load: () => load,
      onNews: () => undefined,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    fleets.push(fleet);
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
