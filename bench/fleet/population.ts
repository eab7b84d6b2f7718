import { openRedisStore } from '../../src/store/redis/index.ts';
import { type ClientLog, readClientLog } from '../client-log.ts';
import { cpuSeconds } from '../cpu-time.ts';
import { callJson } from '../json-http.ts';
import type { Options } from '../options.ts';
import { copyParked } from '../parked-records.ts';
import { withResources } from '../resources.ts';
import { startTellingBroker } from '../servers.ts';
import { percentile } from '../statistics.ts';
import { type Deployment, declareAll, type Instance, newFleet } from './instances.ts';
import { type Memory, measureMemory, PROBED } from './memory.ts';

/** Milliseconds, the default; a dead owner's Connections are nobody's for so long. */
export const LEASE_TTL_MS = 15_000;
/** Milliseconds that attaching all may take before the run is given up. */
const DEADLINE = 300_000;
/** Milliseconds after which a copied Connection is due: not while it is measured. */
const NOT_NOW = 3_600_000;

/** How long it took until all were attached, in milliseconds. */
export interface Attached {
  readonly milliseconds: number;
  /** Seconds that the instance which attached them spent. */
  readonly cpu: number;
}

export interface PopulationResult {
  readonly attached: number;
  readonly known: number;
  readonly memory: Readonly<Record<'empty' | 'attached' | 'known', Memory>>;
  /** By a PUT each. */
  readonly declared: Attached;
  /** From the start of a process that has the name of one that was killed. */
  readonly restarted: Attached;
  /** At another instance, from the owner's SIGKILL. */
  readonly failedOver: Attached;
  /** At another instance, from the owner's SIGTERM; milliseconds that a client was gone. */
  readonly handedOver: Attached & { readonly gapP50: number; readonly gapMost: number };
}

/** One instance with many Connections attached and many more parked: their memory, and how long they take to come back. */
export function measurePopulation(
  { plan: { attached, known }, profile }: Options,
  progress: (text: string) => void,
): Promise<PopulationResult> {
  return withResources(async (own) => {
    const broker = own(await startTellingBroker());
    const log = readClientLog(broker);
    // The one that the parked ones are copied from is attached for a moment: it must not park another.
    const environment = { POOL_MAX: String(attached + 1) };
    const fleet = await newFleet({ mqttUrl: broker.url, own, profile, environment });
    const first = await fleet.start({ nodeId: 'bench-1', nodeArguments: PROBED });
    const ids = Array.from({ length: attached }, (_, index) => `bench-${index}`);
    const empty = await measureMemory(first, fleet.redis);

    progress(`population: attaching ${attached}`);
    const declared = await timed(first, log, attached, async () => {
      await declareAll([first], ids, (id) => ({
        sessionExpiryInterval: 86_400,
        subscriptions: [{ filter: `bench/${id}`, qos: 1 }],
      }));
    });
    const withAttached = await measureMemory(first, fleet.redis);

    progress(`population: parking ${known - attached} more`);
    await addParked(first, fleet, known - attached);
    const withKnown = await measureMemory(first, fleet.redis);

    progress('population: restart');
    log.begin();
    await first.process.kill();
    const second = { startedAt: performance.now(), instance: await fleet.start({ nodeId: 'bench-1' }) };
    const restarted = await timed(second.instance, log, attached, async () => undefined, second.startedAt);

    progress('population: fail-over');
    log.begin();
    const third = await fleet.start({ nodeId: 'bench-2' });
    const failedOver = await timed(third, log, attached, async () => void (await second.instance.process.kill()));

    progress('population: hand-over');
    log.begin();
    const fourth = await fleet.start({ nodeId: 'bench-3' });
    const handedOver = await timed(fourth, log, attached, async () => void (await third.process.stop(DEADLINE)));
    const gaps = [...log.came].map(([client, came]) => came - (log.went.get(client) ?? came)).sort((a, b) => a - b);

    return {
      attached,
      known,
      memory: { empty, attached: withAttached, known: withKnown },
      declared,
      restarted,
      failedOver,
      handedOver: { ...handedOver, gapP50: percentile(gaps, 0.5), gapMost: gaps.at(-1) ?? Number.NaN },
    };
  });
}

/** Does what makes an instance attach, and waits for the broker to have had so many clients since it was asked to count. */
async function timed(
  { pid }: Instance,
  log: ClientLog,
  count: number,
  begin: () => Promise<void>,
  startedAt: number = performance.now(),
): Promise<Attached> {
  const cpuBefore = cpuSeconds(pid);
  await begin();
  await log.wait('came', count, DEADLINE);
  return { milliseconds: Math.max(...log.came.values()) - startedAt, cpu: cpuSeconds(pid) - cpuBefore };
}

/** Through the store's ports. */
async function addParked({ port }: Instance, { redis }: Deployment, count: number): Promise<void> {
  await callJson(port, 'PUT', '/v1/connections/parked', { sessionExpiryInterval: 86_400, hold: 'onDemand' });
  await callJson(port, 'POST', '/v1/connections/parked/detach');
  const store = await openRedisStore({ url: redis.url, prefix: 'bridge', nodeId: 'bench', sweeps: false });
  try {
    await copyParked(store, { from: 'parked', count, inMs: NOT_NOW });
  } finally {
    await store.close();
  }
}
