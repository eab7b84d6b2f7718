import { defineConfig } from 'vitest/config';

/** What takes too long for every run of the tests: `npm run test:long`. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 1,
    retry: 0,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    include: ['test/long/**/*.test.ts'],
  },
});
