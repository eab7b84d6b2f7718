import { CONNECTIONS as CALLERS, publishBody, runLoad } from '../load.ts';
import type { Load } from '../load-generator.ts';
import type { Options } from '../options.ts';
import { withResources } from '../resources.ts';
import { startBroker } from '../servers.ts';
import { declareAll, type Instance, newFleet } from './instances.ts';

const SIZES = [1, 2, 3] as const;
/** As many as there are callers, each for one of them. */
const CONNECTIONS = CALLERS;

/** At `any` instance, as a load balancer does it, or each at its `owner`. */
export type Routing = 'any' | 'owner';

export interface ScalingResult {
  readonly instances: number;
  readonly routing: Routing;
  /** CPU of each instance, then of Redis. */
  readonly rounds: readonly Load[];
}

interface Entry extends Omit<ScalingResult, 'rounds'> {
  readonly targets: readonly { readonly port: number; readonly path: string }[];
  readonly pids: readonly number[];
  readonly rounds: Load[];
}

/** Publishes at QoS 1 as 64 Connections that are spread over one, two and three instances, in interleaved rounds. */
export function compareScaling(
  { plan, profile }: Options,
  progress: (text: string) => void,
): Promise<readonly ScalingResult[]> {
  return withResources(async (own) => {
    const mqttUrl = own(await startBroker()).url;
    const entries: Entry[] = [];
    for (const size of SIZES) {
      const { redis, start } = await newFleet({ mqttUrl, own, profile });
      const instances: Instance[] = [];
      for (let count = 0; count < size; count += 1) instances.push(await start());
      const ids = Array.from({ length: CONNECTIONS }, (_, index) => `bench-${size}-${index}`);
      const owners = await declareAll(instances, ids, () => ({ sessionExpiryInterval: 600 }));
      const pids = [...instances.map(({ pid }) => pid), redis.pid];
      for (const routing of size === 1 ? (['any'] as const) : (['any', 'owner'] as const)) {
        entries.push({ instances: size, routing, targets: targetsOf(routing, instances, owners), pids, rounds: [] });
      }
    }
    const { warmUpMs, measureMs } = plan;
    for (let round = 0; round <= plan.fleetRounds; round += 1) {
      progress(round === 0 ? 'scaling: warm-up' : `scaling: round ${round} of ${plan.fleetRounds}`);
      for (const { instances, routing, targets, pids, rounds } of round % 2 === 0 ? entries : entries.toReversed()) {
        const job = { targets, pids, body: publishBody(1), warmUpMs, measureMs };
        const load = await runLoad(job, `${instances} instances, at ${routing}`);
        if (round > 0) rounds.push(load);
      }
    }
    return entries.map(({ instances, routing, rounds }) => ({ instances, routing, rounds }));
  });
}

/** A target for each Connection. At any instance: those of each owner come to all instances in turn. */
function targetsOf(routing: Routing, instances: readonly Instance[], owners: ReadonlyMap<string, string>) {
  const byOwner = [...owners].sort(([, one], [, other]) => one.localeCompare(other));
  return byOwner.map(([id, owner], index) => {
    const chosen =
      routing === 'owner' ? instances.find(({ nodeId }) => nodeId === owner) : instances[index % instances.length];
    return { port: chosen?.port ?? 0, path: `/v1/connections/${id}/publish` };
  });
}
