import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackPressure } from '../../../../src/bridge/delivery/back-pressure.ts';

const MIB = 1024 * 1024;

describe('back-pressure', () => {
  let pressure: BackPressure;
  let reading: boolean;
  let calls: number;
  const flow = {
    pauseReading() {
      reading = false;
      calls += 1;
    },
    resumeReading() {
      reading = true;
      calls += 1;
    },
  };

  beforeEach(() => {
    vi.useFakeTimers();
    pressure = new BackPressure();
    reading = true;
    calls = 0;
  });
  afterEach(() => {
    pressure.stop();
    vi.useRealTimers();
  });

  function take(messages: number, bytes = 0): void {
    for (let count = 0; count < messages; count += 1) pressure.add(bytes / messages);
    pressure.apply(flow);
  }

  it('reads up to the high-water mark, pauses above it, and reads again when half of it is left', () => {
    take(4_096);
    expect(reading).toBe(true);
    take(1);
    expect(reading).toBe(false);
    pressure.remove(2_048, 0);
    expect(reading).toBe(false);
    pressure.remove(1, 0);
    expect(reading).toBe(true);
    expect(calls).toBe(2);
    expect(vi.getTimerCount()).toBe(1);
    pressure.remove(2_048, 0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('counts bytes too', () => {
    take(2, 16 * MIB);
    expect(reading).toBe(true);
    take(1, 1);
    expect(reading).toBe(false);
    pressure.remove(2, 16 * MIB);
    expect(reading).toBe(true);
  });

  it('loses patience after a second: reads on up to the limit, and no further', () => {
    take(5_000);
    vi.advanceTimersByTime(999);
    expect(reading).toBe(false);
    vi.advanceTimersByTime(1);
    expect(reading).toBe(true);
    take(60_536);
    expect(reading).toBe(true);
    take(1);
    expect(reading).toBe(false);
    vi.advanceTimersByTime(60_000);
    expect(reading).toBe(false);
    pressure.remove(1, 0);
    expect(reading).toBe(true);
    take(1, 65 * MIB);
    expect(reading).toBe(false);
    pressure.remove(1, 65 * MIB);
    expect(reading).toBe(true);
  });

  it('has one second in all until the store has caught up, however often reading pauses', () => {
    let pausedFor = 0;
    let waiting = 0;
    for (let elapsed = 0; elapsed < 5_000; elapsed += 10) {
      const sent = reading ? Math.min(3_000, 60_000 - waiting) : 0;
      take(sent);
      if (!reading) pausedFor += 10;
      vi.advanceTimersByTime(10);
      pressure.remove(1_000, 0);
      waiting += sent - 1_000;
      expect(waiting).toBeLessThan(65_536);
    }
    expect(pausedFor).toBeGreaterThan(500);
    expect(pausedFor).toBeLessThanOrEqual(1_000);
  });

  it('is patient again once the store has caught up', () => {
    take(5_000);
    vi.advanceTimersByTime(1_000);
    expect(reading).toBe(true);
    pressure.remove(4_487, 0);
    take(4_000);
    expect(reading).toBe(true);
    pressure.remove(4_001, 0);
    take(4_000);
    expect(reading).toBe(false);
    vi.advanceTimersByTime(999);
    expect(reading).toBe(false);
  });

  it('admits a burst at QoS 0, and no more than that; what is dropped is counted once', () => {
    take(32_768);
    expect(pressure.admitsQoS0()).toBe(true);
    take(1);
    expect(pressure.admitsQoS0()).toBe(false);
    pressure.drop();
    pressure.drop(41);
    expect([pressure.takeDropped(), pressure.takeDropped()]).toEqual([42, 0]);
    pressure.remove(1, 0);
    expect(pressure.admitsQoS0()).toBe(true);
    take(1, 33 * MIB);
    expect(pressure.admitsQoS0()).toBe(false);
  });

  it('leaves nothing behind when it stops: no timer, and a connection that is read', () => {
    take(5_000);
    expect(reading).toBe(false);
    pressure.stop();
    expect(reading).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    pressure.add(0);
    pressure.remove(2, 0);
    expect([calls, vi.getTimerCount()]).toEqual([2, 0]);
  });
});
