import { expect, it } from 'vitest';
import { type Keeping, runKeeper } from '../../../src/functions/keeping.ts';

const log = { info: () => {} };
const ready = async () => {};

it('the keeper stops early enough to finish its last drain, and answers what it did', async () => {
  const budgets: number[] = [];
  const keeping: Keeping = {
    keep: async (budgetMs, signal) => {
      budgets.push(budgetMs);
      expect(signal.aborted).toBe(false);
      return { drained: 3, remaining: true };
    },
  };
  expect(await runKeeper({ keeping, ready, log }, 58_000)).toEqual({ drained: 3, remaining: true });
  expect(budgets[0]).toBeGreaterThan(52_000);
  expect(budgets[0]).toBeLessThanOrEqual(53_000);
});

it('with hardly any time left it takes nothing, and is told to end', async () => {
  const keeping: Keeping = {
    keep: async (budgetMs, signal) => {
      expect(budgetMs).toBe(0);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return { drained: 0, remaining: true };
    },
  };
  expect(await runKeeper({ keeping, ready, log }, 1_050)).toEqual({ drained: 0, remaining: true });
});

it('what fails is the platform’s to see', async () => {
  const keeping: Keeping = { keep: () => Promise.reject(new Error('no store')) };
  await expect(runKeeper({ keeping, ready, log }, 58_000)).rejects.toThrow('no store');
});
