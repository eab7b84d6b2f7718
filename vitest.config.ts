import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The smallest machine has two cores, and most tests wait more than they work; with more files, servers starve. */
const WORKERS = 3;

/** The kinds of test in the order in which they run: what is quick and small comes first. */
const kinds = ['unit', 'contract', 'integration', 'integrity'];

/** Tests that put another module in the place of one: they share no modules with others. */
const MOCKED = 'test/**/*.mocked.test.ts';

/** Files that take half a minute and more, the longest first: one that began last would be waited for alone. */
const slowest = [
  'integrity/persistent-session',
  'integration/takeover',
  'integration/will',
  'integrity/kill-at-random-redis',
  'integrity/kill-at-random-sqlite',
  'integration/shutdown',
  'integration/start-failures',
  'integration/parking',
  'integrity/fleet-parking',
  'integration/start',
  'integrity/broker-restarts',
  'integrity/fleet-killed-owner',
];

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ project, moduleId }: TestSpecification) => {
      const place = slowest.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return project.name === 'unit' ? -1 : place < 0 ? slowest.length : place;
    };
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: WORKERS,
    // Loading the bridge takes longer than most files of tests; there is no state in its modules that they could share.
    isolate: false,
    sequence: { sequencer: SlowestFirst },
    // A test that only passes when it is run again does not pass.
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: [
      ...kinds.map((name) => ({
        extends: true as const,
        test: { name, include: [`test/${name}/**/*.test.ts`], exclude: [MOCKED] },
      })),
      { extends: true, test: { name: 'mocked', include: [MOCKED], isolate: true } },
    ],
  },
});
