import { callJson } from '../json-http.ts';
import { publishBody, runLoad } from '../load.ts';
import type { Load } from '../load-generator.ts';
import type { Options } from '../options.ts';
import { withResources } from '../resources.ts';
import { startBroker } from '../servers.ts';
import { newFleet } from './instances.ts';

const PATH = '/v1/connections/bench-forwarded';
const PLACES = ['owner', 'other'] as const;
/** Where the requests arrive: at the owner, or at another instance. */
export type Place = (typeof PLACES)[number];

/** One measurement for each round; CPU of the owner, of the other instance, and of Redis. */
export type ForwardingResult = Readonly<Record<Place, readonly Load[]>>;

/** Publishes at QoS 1 as one Connection, at its owner and at another instance, in interleaved rounds. */
export function compareForwarding(
  { plan, profile }: Options,
  progress: (text: string) => void,
): Promise<ForwardingResult> {
  return withResources(async (own) => {
    const { redis, start } = await newFleet({ mqttUrl: own(await startBroker()).url, own, profile });
    const instances = [await start(), await start()];
    const [first] = instances;
    const view = await callJson(first?.port ?? 0, 'PUT', PATH, { sessionExpiryInterval: 600 });
    const { owner: ownerName } = view as { owner: string };
    const ports = {
      owner: instances.find(({ nodeId }) => nodeId === ownerName),
      other: instances.find(({ nodeId }) => nodeId !== ownerName),
    };
    const pids = [ports.owner?.pid ?? 0, ports.other?.pid ?? 0, redis.pid];
    const { warmUpMs, measureMs } = plan;
    const result = { owner: [] as Load[], other: [] as Load[] };
    // The first round warms everyone up and is not counted.
    for (let round = 0; round <= plan.fleetRounds; round += 1) {
      progress(round === 0 ? 'forwarding: warm-up' : `forwarding: round ${round} of ${plan.fleetRounds}`);
      for (const place of round % 2 === 0 ? PLACES : PLACES.toReversed()) {
        const targets = [{ port: ports[place]?.port ?? 0, path: `${PATH}/publish` }];
        const load = await runLoad({ targets, pids, body: publishBody(1), warmUpMs, measureMs }, `at the ${place}`);
        if (round > 0) result[place].push(load);
      }
    }
    return result;
  });
}
