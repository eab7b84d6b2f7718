import type { Key } from '../../src/bridge/ports.ts';
import { openRedisStore, type RedisStore } from '../../src/store/redis/index.ts';
import { mosquittoPub } from '../../test/helpers/mosquitto-clients.ts';
import { until } from '../../test/helpers/until.ts';
import { type ClientLog, readClientLog } from '../client-log.ts';
import { cpuSeconds } from '../cpu-time.ts';
import { type Deployment, declareAll, newFleet } from '../fleet/instances.ts';
import { PAYLOAD_BYTES } from '../load.ts';
import type { Options } from '../options.ts';
import { withResources } from '../resources.ts';
import { startTellingBroker } from '../servers.ts';
import { median, percentile } from '../statistics.ts';

const TOPIC = 'bench/drained';
/** Milliseconds. */
const DEADLINE = 120_000;
const IDLE_MS = 5_000;

/** What draining costs one instance. */
export interface DrainMeasured {
  /** Milliseconds from CONNECT to DISCONNECT of one session, while nothing else is drained. */
  readonly p50: number;
  readonly p99: number;
  /** The same while as many as possible are. */
  readonly busyP50: number;
  readonly perSecond: number;
  /** Seconds for each session. */
  readonly cpu: number;
  readonly redisCpu: number;
  /** Scripts that Redis ran for each session, and commands, those in the scripts with them. */
  readonly scripts: number;
  readonly commands: number;
  /** What an instance does that has nothing to drain, for each second. */
  readonly idleCpu: number;
  readonly idleScripts: number;
}

/** Drains sessions that are really parked at a broker, with a message in each: one by one, then all at once. */
export function measureDrains(
  { plan: { drained, drainedAlone, drainRounds }, profile }: Options,
  progress: (text: string) => void,
): Promise<DrainMeasured> {
  return withResources(async (own) => {
    const broker = own(await startTellingBroker());
    const log = readClientLog(broker);
    const fleet = await newFleet({ mqttUrl: broker.url, own, profile });
    const instance = await fleet.start();
    const ids = Array.from({ length: drained }, (_, index) => `bench-${index}`);
    progress(`drains: parking ${drained}`);
    await declareAll([instance], ids, () => ({
      hold: 'onDemand',
      sessionExpiryInterval: 86_400,
      drainInterval: 86_400,
      subscriptions: [{ filter: TOPIC, qos: 1 }],
    }));
    await log.wait('went', drained, DEADLINE);
    const store = await openRedisStore({ url: fleet.redis.url, prefix: 'bridge', nodeId: 'bench', sweeps: false });
    own({ stop: () => store.close() });
    const keys = await keysOf(store, ids);

    const fill = () => mosquittoPub(broker, ['-V', '5', '-t', TOPIC, '-q', '1', '-m', 'x'.repeat(PAYLOAD_BYTES)]);
    const spent = () => usage(instance.pid, fleet);

    progress('drains: idle');
    const before = await spent();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const idle = difference(await spent(), before);

    progress('drains: one by one');
    await fill();
    const alone: number[] = [];
    for (const [id, key] of [...keys].slice(0, drainedAlone)) {
      log.begin();
      await store.schedule.set([{ key, inMs: 0 }]);
      await log.wait('went', 1, DEADLINE);
      alone.push((log.went.get(id) ?? 0) - (log.came.get(id) ?? 0));
    }

    const rounds: Pick<DrainMeasured, 'busyP50' | 'perSecond' | 'cpu' | 'redisCpu' | 'scripts' | 'commands'>[] = [];
    for (let round = 0; round <= drainRounds; round += 1) {
      progress(round === 0 ? 'drains: warm-up' : `drains: round ${round} of ${drainRounds}`);
      await fill();
      log.begin();
      const atFirst = await spent();
      await store.schedule.set([...keys.values()].map((key) => ({ key, inMs: 0 })));
      await log.wait('went', drained, DEADLINE);
      await until(async () => (await countParked(store, keys)) === drained, { what: 'all are stored as parked' });
      const cost = difference(await spent(), atFirst);
      if (round > 0) rounds.push({ ...perSession(cost, drained), ...timesOf(log) });
    }
    await checkStored(store, keys, drainRounds + 1);
    const of = (value: (round: (typeof rounds)[number]) => number) => median(rounds.map(value));
    alone.sort((a, b) => a - b);
    return {
      p50: percentile(alone, 0.5),
      p99: percentile(alone, 0.99),
      busyP50: of(({ busyP50 }) => busyP50),
      perSecond: of(({ perSecond }) => perSecond),
      cpu: of(({ cpu }) => cpu),
      redisCpu: of(({ redisCpu }) => redisCpu),
      scripts: of(({ scripts }) => scripts),
      commands: of(({ commands }) => commands),
      idleCpu: idle.cpu / (IDLE_MS / 1000),
      idleScripts: idle.scripts / (IDLE_MS / 1000),
    };
  });
}

interface Usage {
  readonly cpu: number;
  readonly redisCpu: number;
  readonly scripts: number;
  readonly commands: number;
}

async function usage(pid: number, { redis }: Deployment): Promise<Usage> {
  const stats = await redis.admin.info('commandstats');
  const calls = [...stats.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)].map(([, name, count]) => ({
    name,
    count: Number(count),
  }));
  const scripts = calls.find(({ name }) => name === 'evalsha')?.count ?? 0;
  const commands = calls.reduce((sum, { count }) => sum + count, 0);
  return { cpu: cpuSeconds(pid), redisCpu: cpuSeconds(redis.pid), scripts, commands };
}

function difference(after: Usage, before: Usage): Usage {
  return {
    cpu: after.cpu - before.cpu,
    redisCpu: after.redisCpu - before.redisCpu,
    scripts: after.scripts - before.scripts,
    commands: after.commands - before.commands,
  };
}

function perSession(cost: Usage, count: number): Usage {
  return {
    cpu: cost.cpu / count,
    redisCpu: cost.redisCpu / count,
    scripts: cost.scripts / count,
    commands: cost.commands / count,
  };
}

/** Of a round in which all were drained. */
function timesOf({ came, went }: ClientLog): { busyP50: number; perSecond: number } {
  const durations = [...went].map(([id, at]) => at - (came.get(id) ?? at)).sort((a, b) => a - b);
  const seconds = (Math.max(...went.values()) - Math.min(...came.values())) / 1000;
  return { busyP50: percentile(durations, 0.5), perSecond: went.size / seconds };
}

async function keysOf(store: RedisStore, ids: readonly string[]): Promise<Map<string, Key>> {
  const records = await Promise.all(ids.map((id) => store.connections.byId(id)));
  return new Map(records.flatMap((record) => (record === null ? [] : [[record.id, record.key]])));
}

async function countParked(store: RedisStore, keys: ReadonlyMap<string, Key>): Promise<number> {
  const holders = await Promise.all([...keys.values()].map((key) => store.leases.holder(key)));
  return holders.filter((holder) => holder === null).length;
}

/** A drain that takes nothing in would be quick. */
async function checkStored(store: RedisStore, keys: ReadonlyMap<string, Key>, atLeast: number): Promise<void> {
  for (const [id, key] of keys) {
    const { depth } = await store.queues.stats(key);
    if (depth < atLeast) throw new Error(`${id}: ${depth} messages were taken in, and not ${atLeast}`);
  }
}
