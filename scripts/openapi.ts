/**
 * Writes `openapi/openapi.yaml` from the routes; with `--check` it compares instead, prints where the two differ, and
 * fails. The document does not depend on a deployment, so no store and no broker are needed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { buildApp } from '../src/app.ts';
import type { Bridge } from '../src/bridge/facade.ts';

const FILE = new URL('../openapi/openapi.yaml', import.meta.url);
const SHOWN_LINES = 20;
const HEADER = '# Generated from the routes by `npm run openapi`. Change them, not this.\n';

/** The order that readers of OpenAPI expect; what is not named follows by name. */
const FIRST = ['openapi', 'info', 'servers', 'tags', 'security', 'paths', 'components'];

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  );
}

async function generate(): Promise<string> {
  const unused = () => {
    throw new Error('only the document is built here');
  };
  const app = await buildApp({
    bridge: new Proxy({} as Bridge, { get: () => unused }),
    validateConnection: unused,
    maxPayload: 1,
    apiKey: null,
    listen: { host: '127.0.0.1', port: 8080 },
    log: pino({ level: 'silent' }),
  });
  const document = sorted(app.swagger()) as Record<string, unknown>;
  await app.close();
  const rest = Object.keys(document).filter((name) => !FIRST.includes(name));
  const ordered = Object.fromEntries([...FIRST, ...rest].map((name) => [name, document[name]]));
  return HEADER + stringify(ordered, { lineWidth: 120, aliasDuplicateObjects: false });
}

function differences(committed: string, generated: string): string[] {
  const [before, after] = [committed.split('\n'), generated.split('\n')];
  const lines = new Set(before);
  const next = new Set(after);
  return [
    ...before.filter((line) => !next.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !lines.has(line)).map((line) => `+ ${line}`),
  ];
}

const generated = await generate();
if (process.argv.includes('--check')) {
  const committed = readFileSync(FILE, 'utf8');
  if (committed !== generated) {
    const shown = differences(committed, generated).slice(0, SHOWN_LINES).join('\n');
    process.stderr.write(`openapi/openapi.yaml is not what the routes say; run "npm run openapi".\n${shown}\n`);
    process.exitCode = 1;
  }
} else {
  mkdirSync(new URL('.', FILE), { recursive: true });
  writeFileSync(FILE, generated);
}
