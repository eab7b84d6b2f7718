import { afterEach, describe, expect, it, vi } from 'vitest';
import { PerBroker } from '../../../src/bridge/per-broker.ts';
import { readiness } from '../../../src/bridge/readiness.ts';

const ANSWERS = { ping: () => Promise.resolve() };
const NO_BROKER = new PerBroker(new Map([['plant', { urls: ['mqtt://127.0.0.1:1'] }]]), () => {
  throw new Error('asked for');
});

function defaultBroker(link: () => Promise<never>) {
  return new PerBroker(new Map([['default', { urls: ['mqtt://127.0.0.1:1'] }]]), () => ({ link }));
}

describe('readiness', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('without a default broker it is the store that counts', async () => {
    const broker = { ok: true, detail: 'no default broker is configured' };
    expect(await readiness(ANSWERS, NO_BROKER)).toEqual({ ready: true, store: { ok: true }, broker });
    const down = { ping: () => Promise.reject(new Error('gone')) };
    expect(await readiness(down, NO_BROKER)).toEqual({ ready: false, store: { ok: false, detail: 'gone' }, broker });
  });

  it('a default broker that cannot be reached says why', async () => {
    const publishers = defaultBroker(() => Promise.reject(new Error('refused')));
    expect(await readiness(ANSWERS, publishers)).toMatchObject({
      ready: false,
      broker: { ok: false, detail: 'refused' },
    });
  });

  it('what does not answer in time is not ready', async () => {
    vi.useFakeTimers();
    const answer = readiness({ ping: () => new Promise(() => {}) }, NO_BROKER);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await answer).toMatchObject({ ready: false, store: { ok: false, detail: 'no answer in time' } });
  });
});

describe('PerBroker', () => {
  it('makes one client per profile, when it is first asked for', () => {
    const make = vi.fn(() => ({}));
    const perBroker = new PerBroker(new Map([['default', { urls: [] }]]), make);
    expect([...perBroker.made]).toEqual([]);
    expect(perBroker.get('default')).toBe(perBroker.get('default'));
    expect(make).toHaveBeenCalledTimes(1);
    expect(() => perBroker.get('other')).toThrow(expect.objectContaining({ type: 'invalid-request' }));
  });
});
