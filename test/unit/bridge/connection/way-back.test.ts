import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backoffMs } from '../../../../src/bridge/connection/backoff.ts';
import { Session } from '../../../../src/bridge/connection/session.ts';
import { Takeovers } from '../../../../src/bridge/connection/takeover.ts';
import { Turns } from '../../../../src/bridge/connection/turns.ts';
import { WayBack } from '../../../../src/bridge/connection/way-back.ts';
import type { Log } from '../../../../src/bridge/dependencies.ts';
import { LeaseClock } from '../../../../src/bridge/ownership/lease-clock.ts';
import type { Key, Store } from '../../../../src/bridge/ports.ts';
import { openSqliteStore } from '../../../../src/store/sqlite/index.ts';
import { valid } from '../../../helpers/bridge.ts';

describe('backoffMs', () => {
  const most = () => 0.999_999;

  it('is full jitter under a bound that doubles up to a cap', () => {
    expect([0, 1, 2, 3].map((failures) => backoffMs(failures, undefined, most))).toEqual([499, 999, 1_999, 3_999]);
    expect(backoffMs(1_000, undefined, most)).toBe(59_999);
    expect(backoffMs(5, undefined, () => 0)).toBe(0);
  });

  it('is full jitter under a lower cap too: those who reach it do not come together', () => {
    expect(backoffMs(1_000, 7_500, most)).toBe(7_499);
    expect(backoffMs(1_000, 7_500, () => 0.5)).toBe(3_750);
  });
});

describe('Takeovers', () => {
  const closed = { kind: 'closed', detail: '' } as const;
  const saidSo = { kind: 'disconnected', detail: '', reasonCode: 0x8e } as const;
  const at = (connectedAt: number, now: number, version: '5.0' | '3.1.1' = '3.1.1') => ({ connectedAt, now, version });

  it('believes 0x8E at once, and no other reason code', () => {
    const takeovers = new Takeovers();
    expect(takeovers.isTakeover(saidSo, at(0, 90_000, '5.0'))).toBe(true);
    expect(takeovers.isTakeover({ ...saidSo, reasonCode: 0x8b }, at(0, 1, '5.0'))).toBe(false);
  });

  it('on v5, whose brokers should say so, takes five closes for it', () => {
    const takeovers = new Takeovers();
    const closes = [1, 2, 3, 4, 5].map((close) => takeovers.isTakeover(closed, at(close, close, '5.0')));
    expect(closes).toEqual([false, false, false, false, true]);
  });

  it('sees three closes soon after CONNACK inside a minute', () => {
    const takeovers = new Takeovers();
    expect(takeovers.isTakeover(closed, at(0, 4_000))).toBe(false);
    expect(takeovers.isTakeover(closed, at(10_000, 10_001))).toBe(false);
    expect(takeovers.isTakeover(closed, at(59_000, 59_500))).toBe(true);
  });

  it('does not count closes of a connection that had lived, ends of our own, or closes far apart', () => {
    const takeovers = new Takeovers();
    expect(takeovers.isTakeover(closed, at(0, 1))).toBe(false);
    expect(takeovers.isTakeover(closed, at(10, 6_000))).toBe(false);
    expect(takeovers.isTakeover({ kind: 'ours', detail: '' }, at(6_000, 6_001))).toBe(false);
    expect(takeovers.isTakeover(closed, at(7_000, 7_001))).toBe(false);
    expect(takeovers.isTakeover(closed, at(61_000, 61_001))).toBe(false);
  });

  it('lets the ClientID be taken back three times, later each time and with jitter, then no more', () => {
    const least = new Takeovers();
    const most = new Takeovers();
    expect([1, 2, 3, 4].map(() => least.nextReclaimMs(() => 0))).toEqual([1_000, 2_000, 4_000, null]);
    expect([1, 2, 3, 4].map(() => most.nextReclaimMs(() => 0.999_999))).toEqual([1_999, 3_999, 7_999, null]);
  });

  it('after taking back needs no pattern, but for a connection that had lived for a minute', () => {
    const takeovers = new Takeovers();
    takeovers.nextReclaimMs();
    expect(takeovers.isTakeover(closed, at(0, 59_999))).toBe(true);
    expect(takeovers.isTakeover(closed, at(0, 60_000))).toBe(false);
  });

  it('does not forget what it took back when that lives for a second, but when it lives for ten minutes', () => {
    const takeovers = new Takeovers();
    while (takeovers.nextReclaimMs() !== null);
    expect(takeovers.isTakeover(saidSo, at(0, 599_999))).toBe(true);
    expect(takeovers.nextReclaimMs()).toBeNull();
    expect(takeovers.isTakeover(saidSo, at(0, 600_000))).toBe(true);
    expect(takeovers.nextReclaimMs()).not.toBeNull();
  });

  it('forgets by request', () => {
    const takeovers = new Takeovers();
    while (takeovers.nextReclaimMs() !== null);
    takeovers.forget();
    expect(takeovers.nextReclaimMs()).not.toBeNull();
    expect(takeovers.isTakeover(closed, at(0, 1))).toBe(true);
  });
});

describe('WayBack', () => {
  const key = 'k' as Key;
  const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  let store: Store;
  let session: Session;
  let wayBack: WayBack;
  let attempts: number;
  let disowned: number;
  let detached: (() => Promise<void>)[];

  beforeEach(async () => {
    store = await openSqliteStore({ path: ':memory:' });
    vi.useFakeTimers();
    attempts = 0;
    disowned = 0;
    detached = [];
    const holder = { nodeId: 'n', process: 'p' };
    session = new Session(key, { mode: 'gateway', store, holder, clock: new LeaseClock(15_000) });
    wayBack = new WayBack({
      key,
      session,
      outbound: { refuseWaiting: () => {} },
      log: silent,
      parameters: () => valid({ id: 'a', sessionExpiryInterval: 60 }).parameters,
      attempt: () => {
        attempts += 1;
      },
      whileDetached: async (task) => void detached.push(task),
      onStoreFailure: () => {},
      onDisowned: () => {
        disowned += 1;
      },
      publisher: null,
    });
  });
  afterEach(async () => {
    vi.useRealTimers();
    await store.close();
  });

  it('says why it was lost at once, and tries again', () => {
    wayBack.lost({ kind: 'closed', detail: 'gone' }, Date.now());
    expect(session.status).toMatchObject({ state: 'offline', reason: { code: 'broker-unreachable', detail: 'gone' } });
    expect(wayBack.isTakenOver).toBe(false);
    vi.runOnlyPendingTimers();
    expect(attempts).toBe(1);
  });

  it('says that another client has the ClientID at once, before it is known whether that is another instance', async () => {
    wayBack.lost({ kind: 'disconnected', detail: 'taken', reasonCode: 0x8e }, Date.now());
    expect(session.status).toMatchObject({ state: 'offline', reason: { code: 'taken-over', reasonCode: 0x8e } });
    expect(wayBack.isTakenOver).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    // The Connection is not in the store: nothing may be written for it, and the lease is not ours.
    await detached[0]?.();
    expect(disowned).toBe(1);
  });

  it('says and tries nothing once it has ended', async () => {
    session.setState('connecting', null);
    wayBack.end();
    await wayBack.failed(new Error('too late'));
    wayBack.storeFailed(new Error('too late'));
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('Turns', () => {
  const calm = new AbortController().signal;
  const task = () => Promise.withResolvers<void>();

  it('lets so many run at each broker, and the others in the order in which they came', async () => {
    const turns = new Turns(2);
    const started: number[] = [];
    const tasks = Array.from({ length: 5 }, task);
    const done = tasks.map(({ promise }, index) =>
      turns.run('a', calm, () => {
        started.push(index);
        return promise;
      }),
    );
    await turn();
    expect(started).toEqual([0, 1]);
    await turns.run('b', calm, async () => undefined);
    tasks[1]?.resolve();
    await done[1];
    await turn();
    expect(started).toEqual([0, 1, 2]);
    for (const { resolve } of tasks) resolve();
    await Promise.all(done);
    expect(started).toEqual([0, 1, 2, 3, 4]);
  });

  it('a task that fails passes its turn on, and its failure to who asked', async () => {
    const turns = new Turns(1);
    const failing = turns.run('a', calm, () => Promise.reject(new Error('no')));
    const next = turns.run('a', calm, async () => 'yes');
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });

  it('who leaves the line is passed over; who leaves it as the turn comes passes it on', async () => {
    const turns = new Turns(1);
    const first = task();
    const running = turns.run('a', calm, () => first.promise);
    const leaving = [new AbortController(), new AbortController()];
    const left = leaving.map(({ signal }) => turns.run('a', signal, () => Promise.reject(new Error('it ran'))));
    const outcomes = Promise.allSettled(left);
    const last = turns.run('a', calm, async () => 'ran');
    leaving[0]?.abort('gone');
    await turn();
    leaving[1]?.abort('gone too');
    first.resolve();
    await running;
    expect(await outcomes).toMatchObject([{ reason: 'gone' }, { reason: 'gone too' }]);
    expect(await last).toBe('ran');
    expect(await turns.run('a', calm, async () => 'free again')).toBe('free again');
  });
});
