import { setTimeout as pause } from 'node:timers/promises';
import { startBridgeProcess } from '../helpers/bridge-process.ts';
import { publishedAfterRelease } from '../helpers/kill-broker-faults.ts';
import type { Random } from '../helpers/kill-random.ts';
import type { STORES } from '../helpers/kill-stores.ts';
import { type FlowReport, PATIENT_BROKER, startTraffic, type Traffic } from '../helpers/kill-traffic.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { BREAKAGES, chooseBreakage } from './breakages.ts';
import { PATIENCE, PER_ROUND, type Round } from './round.ts';

/** Breaks one bridge, its broker and its store. */
export async function runBridgeRound(
  prepareStore: (typeof STORES)[keyof typeof STORES],
  random: Random,
): Promise<Round> {
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
