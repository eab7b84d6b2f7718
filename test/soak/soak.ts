// npm run soak: breaks things at random for SOAK_MINUTES (10), while messages flow both ways, and prints its ledger.
// INTEGRITY_SEED repeats the breakages of a run; how the processes get on between them differs each time.
import { setTimeout as pause } from 'node:timers/promises';
import { startBridgeProcess } from '../helpers/bridge-process.ts';
import { publishedAfterRelease } from '../helpers/kill-broker-faults.ts';
import { createRandom, type Random } from '../helpers/kill-random.ts';
import { STORES } from '../helpers/kill-stores.ts';
import { type FlowReport, PATIENT_BROKER, startTraffic, type Traffic } from '../helpers/kill-traffic.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { BREAKAGES, chooseBreakage } from './breakages.ts';

/** Breakages in a round, after which its ledger is made up. */
const PER_ROUND = 25;
/** Milliseconds for all to arrive when nothing breaks any more: a Connection may wait a minute to try again. */
const PATIENCE = 120_000;

/** As the tests have them, and Redis with a new owner after each start, who has to wait for the lease. */
const stores = {
  ...STORES,
  'Redis, another owner each time': async () => {
    const store = await STORES.Redis();
    return { ...store, env: { ...store.env, NODE_ID: undefined } };
  },
};

interface Round {
  readonly reports: readonly FlowReport[];
  readonly breakages: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
}

async function runRound(prepareStore: (typeof stores)[keyof typeof stores], random: Random): Promise<Round> {
  const [broker, store] = await Promise.all([
    startMosquitto({ persistence: true, config: PATIENT_BROKER }),
    prepareStore(),
  ]);
  const bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...store.env } });
  const parts = { broker, store, bridge, random, brokerLog: '' };
  const breakages = new Map<string, number>();
  let traffic: Traffic | null = null;
  try {
    traffic = await startTraffic(broker, bridge);
    for (let count = 0; count < PER_ROUND; count += 1) {
      await pause(random.chance(0.6) ? random.between(0, 200) : random.between(200, 3_000));
      const name = chooseBreakage(parts);
      breakages.set(name, (breakages.get(name) ?? 0) + 1);
      await BREAKAGES[name]?.happen(parts);
    }
    const reports = await traffic.finish(PATIENCE);
    const faults = [...faultsOf(reports, parts.brokerLog + broker.log()), ...traffic.strange];
    return { reports, breakages, faults };
  } catch (error) {
    return { reports: [], breakages, faults: [error instanceof Error ? error.message : String(error)] };
  } finally {
    await traffic?.stop();
    await bridge.kill();
    await Promise.all([broker.stop(), store.stop()]);
  }
}

/** Exchanges that the broker itself began anew are no fault of the bridge. */
function faultsOf(reports: readonly FlowReport[], brokerLog: string): string[] {
  const allowed = {
    in: publishedAfterRelease(brokerLog, 'keeper'),
    out: publishedAfterRelease(brokerLog, 'keeper-judge'),
  };
  const faults: string[] = [];
  for (const { name, verdict } of reports) {
    const { repeated, ...others } = verdict;
    for (const [fault, payloads] of Object.entries(others)) {
      for (const payload of payloads) faults.push(`${fault}: ${payload}`);
    }
    const direction = name.startsWith('in/') ? 'in' : 'out';
    for (const payload of repeated) {
      allowed[direction] -= 1;
      if (allowed[direction] < 0) faults.push(`repeated: ${payload}`);
    }
  }
  return faults;
}

function printRound(store: string, { reports, breakages, faults }: Round): void {
  console.log(`\n${store}: ${[...breakages].map(([name, count]) => `${count} × ${name}`).join(', ')}`);
  console.table(
    reports.map(({ name, sent, acknowledged, refused, received, verdict }) => {
      const counts = Object.entries(verdict).map(([fault, payloads]) => [fault, payloads.length]);
      return { flow: name, sent, acknowledged, refused, received, ...Object.fromEntries(counts) };
    }),
  );
  for (const fault of faults) console.log(`FAULT ${fault}`);
}

const minutes = Number(process.env.SOAK_MINUTES ?? 10);
const random = createRandom();
console.log(`${minutes} minutes, INTEGRITY_SEED=${random.seed}`);
const deadline = Date.now() + minutes * 60_000;
const total = { rounds: 0, acknowledged: 0, faults: 0 };
while (total.rounds === 0 || Date.now() < deadline) {
  for (const [name, prepareStore] of Object.entries(stores)) {
    if (total.rounds > 0 && Date.now() >= deadline) break;
    const round = await runRound(prepareStore, random);
    printRound(name, round);
    total.rounds += 1;
    total.acknowledged += round.reports.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    total.faults += round.faults.length;
  }
}
console.log(`\n${total.rounds} rounds, ${total.acknowledged} messages acknowledged, ${total.faults} faults`);
process.exitCode = total.faults === 0 ? 0 : 1;
