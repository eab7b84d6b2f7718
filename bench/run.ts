/**
 * The bridge beside what it is judged by, in one run: see docs/benchmarks.md.
 *
 *     npm run bench -- [--quick] [--only=publish|inbound|cold-start|fleet|keeper|function] [--json] [--profile=<directory>]
 */
import { compareColdStarts } from './cold-start.ts';
import { coldStartFigures, inboundFigures, publishFigures, targets } from './figures.ts';
import { forwardingFigures, forwardingTargets, scalingFigures } from './fleet/figures.ts';
import { compareForwarding } from './fleet/forwarding.ts';
import { measurePopulation } from './fleet/population.ts';
import { reportForwarding, reportPopulation, reportScaling } from './fleet/report.ts';
import { compareScaling } from './fleet/scaling.ts';
import { compareFunction, functionTargets, reportFunction } from './function.ts';

import { compareInbound } from './inbound.ts';
import { keeperCosts } from './keeper/cost.ts';
import { measureDrains } from './keeper/drains.ts';
import { reportDrains, reportKeeperCosts } from './keeper/report.ts';
import { type Options, readOptions } from './options.ts';
import { comparePublish } from './publish.ts';
import { describeMachine, reportColdStarts, reportInbound, reportPublish, reportTargets } from './report.ts';

async function run(options: Options): Promise<void> {
  const { plan, parts, json } = options;
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const report = (text: string) => {
    if (!json) print(text);
  };
  // Standard output is for the figures.
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  report(`${describeMachine()}, ${new Date().toISOString().slice(0, 10)}\n`);

  const publish = parts.includes('publish') ? publishFigures(await comparePublish(options, progress)) : [];
  if (publish.length > 0) report(reportPublish(publish, plan));
  const inbound = parts.includes('inbound') ? inboundFigures(await compareInbound(options, progress)) : [];
  if (inbound.length > 0) report(reportInbound(inbound, plan));
  const coldStarts = parts.includes('cold-start') ? coldStartFigures(await compareColdStarts(options, progress)) : [];
  if (coldStarts.length > 0) report(reportColdStarts(coldStarts, plan));
  const fleet = parts.includes('fleet') ? await runFleet(options, progress, report) : null;
  const keeper = parts.includes('keeper') ? await runKeeper(options, progress, report) : null;
  const functions = parts.includes('function') ? await compareFunction(options, progress) : [];
  if (functions.length > 0) report(reportFunction(functions, plan));

  const reached = [
    ...targets(publish, inbound, coldStarts),
    ...forwardingTargets(fleet?.forwarding ?? []),
    ...functionTargets(functions),
  ];
  if (reached.length > 0) report(reportTargets(reached));
  const figures = {
    machine: describeMachine(),
    plan,
    publish,
    inbound,
    coldStarts,
    fleet,
    keeper,
    functions,
    targets: reached,
  };
  if (json) print(JSON.stringify(figures, null, 2));
}

async function runFleet(options: Options, progress: (text: string) => void, report: (text: string) => void) {
  const forwarding = forwardingFigures(await compareForwarding(options, progress));
  report(reportForwarding(forwarding, options.plan));
  const scaling = scalingFigures(await compareScaling(options, progress));
  report(reportScaling(scaling, options.plan));
  const population = await measurePopulation(options, progress);
  report(reportPopulation(population));
  return { forwarding, scaling, population };
}

async function runKeeper(options: Options, progress: (text: string) => void, report: (text: string) => void) {
  const drains = await measureDrains(options, progress);
  report(reportDrains(drains, options.plan.drained));
  const costs = keeperCosts(drains);
  report(reportKeeperCosts(costs));
  return { drains, costs };
}

await run(readOptions(process.argv.slice(2)));
