import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeepAlive } from '../../../../src/bridge/link/keep-alive.ts';

const KEEP_ALIVE = 10;

describe('KeepAlive', () => {
  let pings: number[];
  let silences: number[];
  let reading: boolean;
  let start: number;
  const now = () => Date.now() - start;

  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'Date', 'performance'],
    });
    pings = [];
    silences = [];
    reading = true;
    start = Date.now();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function watch(seconds = KEEP_ALIVE): KeepAlive {
    return new KeepAlive({
      seconds,
      ping: () => pings.push(now()),
      isReading: () => reading,
      onSilence: () => silences.push(now()),
    });
  }

  it('sends PINGREQ within the Keep Alive, and is content with any answer', () => {
    const keepAlive = watch();
    for (let second = 0; second < 100; second += 1) {
      vi.advanceTimersByTime(1_000);
      if (pings.length > 0) keepAlive.received();
    }
    expect(pings.length).toBeGreaterThanOrEqual(10);
    const gaps = pings.map((at, index) => at - (pings[index - 1] ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(KEEP_ALIVE * 1000);
    expect(silences).toEqual([]);
    expect(keepAlive.isSilent).toBe(false);
  });

  it('sends PINGREQ although much arrives: the broker must hear from us, too', () => {
    const keepAlive = watch();
    for (let ms = 0; ms < 20_000; ms += 100) {
      keepAlive.received();
      vi.advanceTimersByTime(100);
    }
    expect(pings.length).toBe(2);
  });

  it('finds a silent broker at 1.5 times the Keep Alive, and says so once', () => {
    const keepAlive = watch();
    vi.advanceTimersByTime(2_000);
    keepAlive.received();
    vi.advanceTimersByTime(14_990);
    expect(silences).toEqual([]);
    vi.advanceTimersByTime(100_000);
    expect(silences).toHaveLength(1);
    expect(silences[0]).toBeGreaterThanOrEqual(17_000);
    expect(silences[0]).toBeLessThan(17_010);
  });

  it('a frozen process counts: before any timer runs, the connection is known to be gone, whatever is read then', () => {
    const keepAlive = watch();
    vi.setSystemTime(Date.now() + 15_001);
    expect(keepAlive.isSilent).toBe(true);
    keepAlive.received();
    expect(keepAlive.isSilent).toBe(true);
    vi.advanceTimersByTime(20_000);
    expect(pings).toEqual([]);
    expect(silences).toHaveLength(1);
  });

  it('a wall clock that is set back hides no silence', () => {
    const keepAlive = watch();
    vi.advanceTimersByTime(10_000);
    vi.setSystemTime(Date.now() - 3_600_000);
    vi.advanceTimersByTime(6_000);
    expect(keepAlive.isSilent).toBe(true);
    expect(silences).toHaveLength(1);
  });

  it('what is not read is no silence, and pinging goes on', () => {
    watch();
    reading = false;
    vi.advanceTimersByTime(60_000);
    expect(silences).toEqual([]);
    expect(pings.length).toBeGreaterThanOrEqual(6);
    reading = true;
    vi.advanceTimersByTime(16_000);
    expect(silences).toHaveLength(1);
  });

  it('0 is off', () => {
    const keepAlive = watch(0);
    vi.advanceTimersByTime(1_000_000);
    expect([pings, silences]).toEqual([[], []]);
    expect(keepAlive.isSilent).toBe(false);
  });

  it('the longest one fits a timer', () => {
    watch(65_535);
    vi.advanceTimersByTime(40_000_000);
    expect(pings).toEqual([]);
    vi.advanceTimersByTime(12_000_000);
    expect(pings).toHaveLength(1);
  });

  it('stops', () => {
    watch().stop();
    vi.advanceTimersByTime(60_000);
    expect([pings, silences]).toEqual([[], []]);
  });
});
