/**
 * The bridge beside what it is judged by, in one run: see docs/benchmarks.md.
 *
 *     npm run bench -- [--quick] [--only=publish|inbound|cold-start|function] [--json] [--profile=<directory>]
 */
import { compareColdStarts } from './cold-start.ts';
import { coldStartFigures, inboundFigures, publishFigures, targets } from './figures.ts';
import { compareFunction, functionTargets, reportFunction } from './function.ts';
import { compareInbound } from './inbound.ts';
import { type Options, readOptions } from './options.ts';
import { comparePublish } from './publish.ts';
import { describeMachine, reportColdStarts, reportInbound, reportPublish, reportTargets } from './report.ts';

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
  const coldStarts = parts.includes('cold-start') ? coldStartFigures(await compareColdStarts(options, progress)) : [];
  if (!json && coldStarts.length > 0) print(reportColdStarts(coldStarts, plan));
  const functions = parts.includes('function') ? await compareFunction(options, progress) : [];
  if (!json && functions.length > 0) print(reportFunction(functions, plan));

  const reached = [...targets(publish, inbound, coldStarts), ...functionTargets(functions)];
  if (json)
    print(
      JSON.stringify(
        { machine: describeMachine(), plan, publish, inbound, coldStarts, functions, targets: reached },
        null,
        2,
      ),
    );
  else print(reportTargets(reached));
}

await run(readOptions(process.argv.slice(2)));
