import { describe, expect, it, vi } from 'vitest';
import { Search } from '../../../../src/bridge/fleet/search.ts';
import { NotOwner } from '../../../../src/bridge/link/link-problems.ts';
import type { Key } from '../../../../src/bridge/ports.ts';

const KEY = 'key' as Key;
const IN_LINE = new NotOwner(KEY);

function newSearch(searchMs = 5_000) {
  const watchers = new Map<Key, () => void>();
  const leases = {
    watchTurn: vi.fn((key: Key, _holder: object, onTurn: () => void) => {
      watchers.set(key, onTurn);
      return () => watchers.delete(key);
    }),
    leaveLine: vi.fn(() => Promise.resolve()),
  };
  const holder = { nodeId: 'function-a', process: 'p' };
  return {
    search: new Search({ leases, holder, searchMs }),
    leases,
    watchers,
    tell: () => watchers.get(KEY)?.(),
  };
}

describe('a search that stands in line', () => {
  it('asks again as soon as it is told that its turn has come', async () => {
    const { search, tell } = newSearch();
    const began = performance.now();
    const pausing = search.pause(IN_LINE);
    tell();
    await pausing;
    expect(performance.now() - began).toBeLessThan(200);
  });

  it('asks again although it is not told', async () => {
    const { search } = newSearch();
    const began = performance.now();
    await search.pause(IN_LINE);
    expect(performance.now() - began).toBeGreaterThan(195);
  });

  it('does not miss what it is told while it asks, and watches once', async () => {
    const { search, leases, tell } = newSearch();
    const first = search.pause(IN_LINE);
    tell();
    await first;
    tell();
    await search.pause(IN_LINE);
    expect(leases.watchTurn).toHaveBeenCalledOnce();
  });

  it('stops watching when it ends', async () => {
    const { search, watchers, leases, tell } = newSearch();
    const pausing = search.pause(IN_LINE);
    tell();
    await pausing;
    search.end();
    expect(watchers.size).toBe(0);
    expect(leases.leaveLine).not.toHaveBeenCalled();
  });

  it('that found nobody in its time leaves the line', async () => {
    const { search, watchers, leases, tell } = newSearch(0);
    const pausing = search.pause(IN_LINE);
    tell();
    await pausing;
    search.end();
    expect(watchers.size).toBe(0);
    expect(leases.leaveLine).toHaveBeenCalledWith(KEY, { nodeId: 'function-a', process: 'p' });
  });
});

it('a search that stands in no line pauses longer and longer', async () => {
  const { search, leases } = newSearch();
  for (const longest of [20, 40, 80, 160]) {
    const began = performance.now();
    await search.pause(new NotOwner());
    expect(performance.now() - began).toBeGreaterThan(longest / 2 - 2);
  }
  expect(leases.watchTurn).not.toHaveBeenCalled();
});
