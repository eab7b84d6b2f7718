import { defineConfig } from 'vitest/config';

/** Two cores are what the smallest machine has; with more files at once, servers and clients starve each other. */
const WORKERS = 2;

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
