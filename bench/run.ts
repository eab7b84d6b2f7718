/**
 * The bridge beside what it is judged by, in one run: see docs/benchmarks.md.
 *
 *     npm run bench -- [--quick] [--only=publish|inbound] [--json] [--profile=<directory>]
 */
import { inboundFigures, publishFigures, targets } from './figures.ts';
import { compareInbound } from './inbound.ts';
import { type Options, readOptions } from './options.ts';
import { comparePublish } from './publish.ts';
import { describeMachine, reportInbound, reportPublish, reportTargets } from './report.ts';

async function run(options: Options): Promise<void> {
  const { plan, parts, json } = options;
  const print = (text: string) => process.stdout.write(`${text}\n`);
  // Standard output is for the figures.
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  if (!json) print(`${describeMachine()}, ${new Date().toISOString().slice(0, 10)}\n`);

  const publish = parts.includes('publish') ? publishFigures(await comparePublish(options, progress)) : [];
  if (!json && publish.length > 0) print(reportPublish(publish, plan));
  const inbound = parts.includes('inbound') ? inboundFigures(await compareInbound(options, progress)) : [];
  if (!json && inbound.length > 0) print(reportInbound(inbound, plan));

  const reached = targets(publish, inbound);
  if (json) print(JSON.stringify({ machine: describeMachine(), plan, publish, inbound, targets: reached }, null, 2));
  else print(reportTargets(reached));
}

await run(readOptions(process.argv.slice(2)));
