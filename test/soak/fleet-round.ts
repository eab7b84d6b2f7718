import { setTimeout as pause } from 'node:timers/promises';
import { declareMany, startScene, untilAllOnline } from '../helpers/fleet-scene.ts';
import { startStandalone } from '../helpers/fleet-stores.ts';
import { startFleetTraffic } from '../helpers/fleet-traffic.ts';
import type { Random } from '../helpers/kill-random.ts';
import type { FlowReport, Traffic } from '../helpers/kill-traffic.ts';
import { FLEET_BREAKAGES, type FleetParts } from './fleet-breakages.ts';
import { choose, PATIENCE, PER_ROUND, type Round } from './round.ts';

/** Connections with traffic, so that it is at several instances. */
const BUSY = ['keeper', 'second', 'third'];
const IDLE = 12;

/** Breaks instances of three, their networks, and their Redis. */
export async function runFleetRound(random: Random): Promise<Round> {
  const scene = await startScene({ startStore: startStandalone, wired: true });
  const parts: FleetParts = { scene, random, allowedTakeOvers: 0 };
  const breakages = new Map<string, number>();
  const traffics: Traffic[] = [];
  try {
    await declareMany(scene.fleet, 'idle', IDLE);
    for (const id of BUSY) {
      traffics.push(await startFleetTraffic(scene, id));
    }
    for (let count = 0; count < PER_ROUND; count += 1) {
      await pause(random.chance(0.6) ? random.between(0, 500) : random.between(500, 5_000));
      const name = choose(FLEET_BREAKAGES, random);
      breakages.set(name, (breakages.get(name) ?? 0) + 1);
      await FLEET_BREAKAGES[name]?.happen(parts);
    }
    await untilAllOnline(scene.fleet, PATIENCE);
    const ledgers = await Promise.all(traffics.map((traffic) => traffic.finish(PATIENCE)));
    const reports = ledgers.flatMap((ledger, at) =>
      ledger.map((flow) => ({ ...flow, name: `${BUSY[at]}/${flow.name}` })),
    );
    const faults = [...reports.flatMap(faultsOf), ...traffics.flatMap(({ strange }) => strange)];
    const takeOvers = scene.log.takeOvers();
    if (takeOvers.length > parts.allowedTakeOvers) faults.push(`taken over: ${takeOvers.join(', ')}`);
    return { reports, breakages, faults };
  } catch (error) {
    return { reports: [], breakages, faults: [error instanceof Error ? error.message : String(error)] };
  } finally {
    for (const traffic of traffics) await traffic.stop();
    await scene.stop();
  }
}

function faultsOf({ verdict }: FlowReport): string[] {
  return Object.entries(verdict).flatMap(([fault, payloads]) =>
    payloads.map((payload: string) => `${fault}: ${payload}`),
  );
}
