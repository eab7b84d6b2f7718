import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Attempts } from '../../../../src/bridge/connection/attempts.ts';
import { Turns } from '../../../../src/bridge/connection/turns.ts';
import { Problem } from '../../../../src/errors/problem.ts';

/** Attempts that end when the test says so, or when they are interrupted. */
function setUp(atOnce = 10) {
  const made: { signal: AbortSignal; resolve: () => void; reject: (error: Error) => void }[] = [];
  const ended: number[] = [];
  const attempts = new Attempts(new Turns(atOnce), (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const index = made.push({ signal, resolve, reject }) - 1;
    // An interruption takes a moment.
    signal.addEventListener('abort', () => setImmediate(() => reject(signal.reason)));
    return promise.finally(() => ended.push(index));
  });
  return { attempts, made, ended };
}

const why = new Problem('changed-meanwhile', { detail: 'the test says so' });

describe('Attempts', () => {
  it('all who ask share one; who asks after it has ended gets another', async () => {
    const { attempts, made } = setUp();
    const joined = [attempts.join('b'), attempts.join('b')];
    expect(attempts.isUnderWay).toBe(true);
    await turn();
    made[0]?.resolve();
    await Promise.all(joined);
    expect(attempts.isUnderWay).toBe(false);
    const next = attempts.join('b');
    await turn();
    made[1]?.reject(new Error('no'));
    await expect(next).rejects.toThrow('no');
    expect(made).toHaveLength(2);
  });

  it('who waited for one that is interrupted gets the reason', async () => {
    const { attempts, made, ended } = setUp();
    const joined = attempts.join('b');
    await turn();
    const interruption = attempts.interrupt(why);
    expect(made[0]?.signal.aborted).toBe(true);
    expect(attempts.isUnderWay).toBe(false);
    expect(ended).toEqual([]);
    await interruption;
    expect(ended).toEqual([0]);
    await expect(joined).rejects.toBe(why);
    expect(made).toHaveLength(1);
  });

  it('one that waits for its turn can be interrupted too, and never runs', async () => {
    const { attempts, made } = setUp(0);
    const joined = attempts.join('b');
    await turn();
    await attempts.interrupt(why);
    await expect(joined).rejects.toBe(why);
    expect(made).toEqual([]);
  });

  it('who asks after an interruption gets a new one, once the old one has ended; who waited joins it', async () => {
    const { attempts, made, ended } = setUp();
    const before = attempts.join('b');
    await turn();
    attempts.interrupt(why);
    const after = attempts.join('b');
    expect(made).toHaveLength(1);
    await expect.poll(() => made.length).toBe(2);
    expect(ended).toEqual([0]);
    expect(made[1]?.signal.aborted).toBe(false);
    made[1]?.resolve();
    await Promise.all([before, after]);
    expect(made).toHaveLength(2);
  });

  it('one that is interrupted to be made anew is made anew, if somebody waits for it', async () => {
    const { attempts, made } = setUp();
    await attempts.interrupt(why, { anew: true });
    expect(attempts.isUnderWay).toBe(false);
    const joined = attempts.join('b');
    await turn();
    await attempts.interrupt(why, { anew: true });
    await expect.poll(() => made.length).toBe(2);
    made[1]?.resolve();
    await joined;
  });

  it('the signal is the same until the next interruption', async () => {
    const { attempts } = setUp();
    const { signal } = attempts;
    expect(attempts.signal).toBe(signal);
    await attempts.interrupt(why);
    expect(signal.reason).toBe(why);
    expect(attempts.signal.aborted).toBe(false);
  });
});
