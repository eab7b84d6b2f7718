import { declareMany, startScene, untilAllOnline } from './fleet-scene.ts';
import { type FleetStore, failOver, primaryOfOnlyConnection } from './fleet-stores.ts';
import { startFleetTraffic } from './fleet-traffic.ts';
import type { FlowReport, Traffic } from './kill-traffic.ts';
import { print, printTimes } from './measured.ts';

/** Beside the one with the traffic. */
const CONNECTIONS = 8;
/** Messages that go each way before the primary is killed, and after. */
const ENOUGH = 100;
/** Milliseconds for all to be online again, once there is a primary and its replicas. */
const RECOVERED = 20_000;
/** Milliseconds that a replica is behind its primary at most, when both are on one machine. */
const BEHIND = 1_000;

export interface FailOverOutcome {
  readonly reports: readonly FlowReport[];
  /** Answers to callers that no problem of the API explains. */
  readonly strange: readonly string[];
  /** ClientIDs that we took over from ourselves. */
  readonly takeOvers: readonly string[];
  /** Acknowledged messages that are missing although they were acknowledged long before the primary was killed, or after another was there. */
  readonly unexplained: readonly string[];
}

/**
 * Kills the primary that has a Connection's state while messages flow through it both ways, and prints what became of
 * them and how long it took. `restarts`: starts the killed server again, so that there is a replica to confirm writes.
 */
export async function failOverUnderLoad(
  startStore: () => Promise<FleetStore>,
  { minReplicas, restarts }: { readonly minReplicas: number; readonly restarts: boolean },
): Promise<FailOverOutcome> {
  const scene = await startScene({ startStore, env: { STORE_MIN_REPLICAS: String(minReplicas) } });
  let traffic: Traffic | null = null;
  try {
    traffic = await startFleetTraffic(scene);
    const primary = await primaryOfOnlyConnection(scene.store);
    await declareMany(scene.fleet, 'idle', CONNECTIONS);
    await traffic.flows(ENOUGH);

    const killedAt = performance.now();
    await failOver(scene.store, primary);
    const promotedAt = performance.now();
    if (restarts) await primary.start();
    await traffic.flows(ENOUGH, RECOVERED);
    printTimes('primary killed until another was there', [promotedAt - killedAt]);
    printTimes('primary killed until messages flowed', [performance.now() - killedAt]);
    await untilAllOnline(scene.fleet, RECOVERED);
    printTimes('primary killed until all were online', [performance.now() - killedAt]);
    const reports = await traffic.finish();
    for (const report of reports) printReport(report);
    const missing = reports.flatMap(({ verdict }) => verdict.missing);
    const explained = { from: killedAt - BEHIND, to: promotedAt };
    return {
      reports,
      strange: traffic.strange,
      takeOvers: scene.log.takeOvers(),
      unexplained: missing.filter((payload) => !isBetween(traffic?.acknowledgedAt(payload), explained)),
    };
  } finally {
    await traffic?.stop();
    await scene.stop();
  }
}

function isBetween(at = 0, { from, to }: { from: number; to: number }): boolean {
  return at >= from && at <= to;
}

function printReport({ name, acknowledged, received, verdict }: FlowReport): void {
  const faults = Object.entries(verdict).map(([fault, payloads]) => `${payloads.length} ${fault}`);
  print(`${name}: ${acknowledged} acknowledged, ${received} received, ${faults.join(', ')}`);
}
