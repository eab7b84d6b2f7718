// npm test: every check, the quick ones first. All run even when one fails; the exit code tells whether all passed.
// Its last line, "N passed, N failed", counts the tests.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const reports = mkdtempSync(join(tmpdir(), 'bridge-check-'));
const testReport = join(reports, 'vitest.json');

const env = {
  ...process.env,
  PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`,
  REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
};

/** Commands by the name of their step; those of package.json are run as they are written there. */
const quick = {
  'lint and format': scripts.lint,
  types: scripts.types,
  layers: scripts.layers,
  'openapi is generated': `${scripts.openapi} --check`,
  'openapi lint': scripts['openapi:lint'],
};
const tests = `${scripts.unit} --allowOnly=false --reporter=default --reporter=json --outputFile.json="${testReport}"`;

/** Runs a command line; answers whether it succeeded, how long it took, and its output when that is not shown at once. */
function run(name, command, { show }) {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, {
      cwd: root,
      shell: true,
      stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
      env,
    });
    let output = '';
    child.stdout?.on('data', (bytes) => (output += bytes));
    child.stderr?.on('data', (bytes) => (output += bytes));
    child.once('close', (code) => {
      resolve({ name, passed: code === 0, seconds: (performance.now() - started) / 1000, output });
    });
  });
}

/** Runs the steps two at a time, and prints the output of each when it is over. */
async function runQuick() {
  const waiting = Object.entries(quick);
  const results = [];
  const worker = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const result = await run(...step, { show: false });
      console.log(`\n=== ${result.name}${result.passed ? '' : ': FAILED'} ===\n${result.output.trim()}`);
      results.push(result);
    }
  };
  await Promise.all([worker(), worker()]);
  return results;
}

/** Counts the tests of vitest's report. A file that did not load, or a run without a report, is a failure too. */
function countTests(passed) {
  let report;
  try {
    report = JSON.parse(readFileSync(testReport, 'utf8'));
  } catch {
    return { passed: 0, failed: 1 };
  }
  const notLoaded = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const failed = report.numFailedTests + notLoaded.length;
  // Errors outside of any test (an unhandled rejection) fail the run, and appear in no count of it.
  return { passed: report.numPassedTests, failed: failed === 0 && !passed ? 1 : failed };
}

const results = await runQuick();
console.log('\n=== tests ===');
const testResult = await run('tests', tests, { show: true });
results.push(testResult);
const counts = countTests(testResult.passed);
rmSync(reports, { recursive: true });

for (const { name, passed, seconds } of results) {
  console.log(`${passed ? 'passed' : 'FAILED'}  ${name} (${seconds.toFixed(1)} s)`);
}
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
console.log(`\n${counts.passed} passed, ${counts.failed} failed`);
