import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LeaseClock } from '../../../../src/bridge/ownership/lease-clock.ts';

const TTL_MS = 12_000;

describe('the lease clock', () => {
  let clock: LeaseClock;
  let gaps: boolean[];

  beforeEach(() => {
    vi.useFakeTimers();
    clock = new LeaseClock(TTL_MS);
    gaps = [];
    clock.start((gapped) => gaps.push(gapped));
  });
  afterEach(() => {
    clock.stop();
    vi.useRealTimers();
  });

  it('is sure of a lease from before the store was asked until shortly before it ends', () => {
    const asked = clock.ask();
    expect(clock.standing(asked)).toBe('sure');
    vi.advanceTimersByTime(TTL_MS * 0.84);
    expect(clock.standing(asked)).toBe('sure');
    vi.advanceTimersByTime(TTL_MS * 0.01 + 1);
    expect(clock.standing(asked)).toBe('over');
    expect(clock.standing(clock.ask())).toBe('sure');
    expect(gaps).not.toContain(true);
  });

  it.each([
    ['the wall clock went on while the monotonic one stood still: the machine was suspended', suspend],
    ['both went on, and no timer ran: the process was stopped', stop],
  ])('after a gap is sure of nothing that was said before (%s)', (_what, pass) => {
    const asked = clock.ask();
    pass(TTL_MS / 3 + 1);
    expect(clock.standing(asked)).toBe('unsure');
    expect(clock.standing(clock.ask())).toBe('sure');
    vi.advanceTimersByTime(TTL_MS / 12);
    expect(gaps.at(-1)).toBe(true);
    expect(clock.standing(asked)).toBe('unsure');
    vi.advanceTimersByTime(TTL_MS / 12);
    expect(gaps.at(-1)).toBe(false);
  });

  it('a gap as long as the lease ends it', () => {
    const asked = clock.ask();
    suspend(TTL_MS);
    expect(clock.standing(asked)).toBe('over');
  });

  it('an answer that was on its way through the gap is not sure either', () => {
    const asked = clock.ask();
    stop(TTL_MS / 2);
    const after = clock.ask();
    expect(clock.standing(asked)).toBe('unsure');
    expect(clock.standing(after)).toBe('sure');
  });

  it('is not misled by a wall clock that is set back', () => {
    const asked = clock.ask();
    vi.advanceTimersByTime(TTL_MS / 2);
    vi.setSystemTime(Date.now() - 3_600_000);
    expect(clock.standing(asked)).toBe('sure');
    vi.advanceTimersByTime(TTL_MS / 2);
    expect(clock.standing(asked)).toBe('over');
  });

  function suspend(ms: number): void {
    vi.setSystemTime(Date.now() + ms);
  }
  function stop(ms: number): void {
    const now = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => now + ms);
    vi.setSystemTime(Date.now() + ms);
  }
  afterEach(() => {
    vi.restoreAllMocks();
  });
});
