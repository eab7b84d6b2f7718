// npm run soak: breaks things at random for SOAK_MINUTES (10), while messages flow both ways, and prints its ledger.
// npm run soak -- instances: only the rounds that have the word in their name.
// INTEGRITY_SEED repeats the breakages of a run; how the processes get on between them differs each time.
import { createRandom, type Random } from '../helpers/kill-random.ts';
import { STORES } from '../helpers/kill-stores.ts';
import { runBridgeRound } from './bridge-round.ts';
import { runFleetRound } from './fleet-round.ts';
import type { Round } from './round.ts';

/** One bridge on each store, and on Redis with a new owner after each start, who has to wait for the lease; and several. */
const rounds: Readonly<Record<string, (random: Random) => Promise<Round>>> = {
  SQLite: (random) => runBridgeRound(STORES.SQLite, random),
  Redis: (random) => runBridgeRound(STORES.Redis, random),
  'Redis, another owner each time': (random) => {
    const anonymous = async () => {
      const store = await STORES.Redis();
      return { ...store, env: { ...store.env, NODE_ID: undefined } };
    };
    return runBridgeRound(anonymous, random);
  },
  'three instances on Redis': runFleetRound,
};

function printRound(name: string, { reports, breakages, faults }: Round): void {
  console.log(`\n${name}: ${[...breakages].map(([name, count]) => `${count} × ${name}`).join(', ')}`);
  console.table(
    reports.map(({ name: flow, sent, acknowledged, refused, received, verdict }) => {
      const counts = Object.entries(verdict).map(([fault, payloads]) => [fault, payloads.length]);
      return { flow, sent, acknowledged, refused, received, ...Object.fromEntries(counts) };
    }),
  );
  for (const fault of faults) console.log(`FAULT ${fault}`);
}

const minutes = Number(process.env.SOAK_MINUTES ?? 10);
const random = createRandom();
const word = process.argv[2] ?? '';
const chosen = Object.entries(rounds).filter(([name]) => name.includes(word));
if (chosen.length === 0) throw new Error(`no round has "${word}" in its name`);
console.log(`${minutes} minutes, INTEGRITY_SEED=${random.seed}`);
const deadline = Date.now() + minutes * 60_000;
const total = { rounds: 0, acknowledged: 0, faults: 0 };
while (total.rounds === 0 || Date.now() < deadline) {
  for (const [name, run] of chosen) {
    if (total.rounds > 0 && Date.now() >= deadline) break;
    const round = await run(random);
    printRound(name, round);
    total.rounds += 1;
    total.acknowledged += round.reports.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    total.faults += round.faults.length;
  }
}
console.log(`\n${total.rounds} rounds, ${total.acknowledged} messages acknowledged, ${total.faults} faults`);
process.exitCode = total.faults === 0 ? 0 : 1;
