import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Retry } from '../../../../src/bridge/connection/retry.ts';

describe('Retry', () => {
  const attempt = vi.fn();
  let retry: Retry;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, 'random').mockReturnValue(0.999_999);
    attempt.mockClear();
    retry = new Retry(attempt);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  /** Milliseconds until the attempt. */
  function wait(): number {
    const before = Date.now();
    vi.advanceTimersToNextTimer();
    expect(attempt).toHaveBeenCalledOnce();
    attempt.mockClear();
    return Date.now() - before;
  }

  it('waits longer each time, and anew from the start once a connection has lived', () => {
    const waits = [1, 2, 3].map(() => {
      retry.backOff();
      return wait();
    });
    expect(waits).toEqual([499, 999, 1_999]);
    retry.lived(9_999);
    retry.backOff();
    expect(wait()).toBe(3_999);
    retry.lived(10_000);
    retry.backOff();
    expect(wait()).toBe(499);
  });

  it('has one time at most: the last one that was said', () => {
    retry.backOff();
    retry.after(5);
    expect(wait()).toBe(5);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has a lower cap where one is given', () => {
    for (let failures = 0; failures < 5; failures += 1) {
      retry.backOff(2_000);
      expect(wait()).toBe([499, 999, 1_999, 1_999, 1_999][failures]);
    }
  });

  it('hurries: what was to come later comes soon, what comes sooner stays, and nothing is tried that was not to be', () => {
    retry.hurry(1_000);
    expect(vi.getTimerCount()).toBe(0);
    retry.after(60_000);
    retry.hurry(1_000);
    expect(wait()).toBe(999);
    retry.after(500);
    retry.hurry(1_000);
    expect(wait()).toBe(500);
  });

  it('does not try when it is cancelled', () => {
    retry.backOff();
    retry.cancel();
    expect(vi.getTimerCount()).toBe(0);
  });
});
