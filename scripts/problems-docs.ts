/**
 * Writes `docs/problems.md` from the problem catalogue; with `--check` it compares instead, and fails on a difference.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import { PROBLEMS } from '../src/errors/catalogue.ts';

const FILE = new URL('../docs/problems.md', import.meta.url);

const INTRODUCTION = `<!-- Generated from src/errors/catalogue.ts by scripts/problems-docs.ts. Change that, not this. -->

# Problems

Every error of the API is \`application/problem+json\` (RFC 9457). Its members:

| member | meaning |
|---|---|
| \`type\` | \`/problems/<name>\`: the name in the table below |
| \`title\` | what it says, the same for every problem of the type |
| \`status\` | the HTTP status |
| \`detail\` | what happened this time; for people |
| \`reasonCode\`, \`reason\` | MQTT's reason code (the return code on 3.x) and its name or the broker's Reason String, when a broker's answer is the cause |
| \`errors\` | of \`invalid-request\` and \`immutable-parameter\`: each fault, with \`pointer\` (a JSON pointer into the body, or \`?name\` for a parameter), \`detail\`, and \`reference\` (the clause) |

*Again* tells whether sending the same request again can help. After a 503 wait as long as \`Retry-After\` says. A publish that ended as \`outcome-unknown\` may or
may not have arrived: sending it again can make it arrive twice.

In the results of a batch a problem has the same members.

| type | status | meaning | again |
|---|---|---|---|
`;

/** The page as it should be. */
export function problemsPage(): string {
  const rows = Object.entries(PROBLEMS)
    .sort(([, one], [, other]) => one.status - other.status)
    .map(
      ([name, { status, title, retryable }]) =>
        `| \`/problems/${name}\` | ${status} ${STATUS_CODES[status]} | ${title} | ${retryable ? 'yes' : 'no'} |\n`,
    );
  return INTRODUCTION + rows.join('');
}

/** Whether the page in `docs` is as it should be. */
export function isUpToDate(): boolean {
  return readFileSync(FILE, 'utf8') === problemsPage();
}

if (import.meta.main) {
  if (!process.argv.includes('--check')) writeFileSync(FILE, problemsPage());
  else if (!isUpToDate()) {
    console.error('docs/problems.md is not what scripts/problems-docs.ts makes of src/errors/catalogue.ts: run it.');
    process.exitCode = 1;
  }
}
