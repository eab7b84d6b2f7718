import { defineConfig } from 'vitest/config';

/** The smallest machine has two cores, and most tests wait more than they work; with more files, servers starve. */
const WORKERS = 3;

/** The kinds of test in the order in which they run: what is quick and small comes first. */
const kinds = ['unit', 'contract', 'integration', 'integrity'];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: WORKERS,
    // A test that only passes when it is run again does not pass.
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: kinds.map((name, groupOrder) => ({
      extends: true,
      test: { name, include: [`test/${name}/**/*.test.ts`], sequence: { groupOrder } },
    })),
  },
});
