import type { Store } from '../../bridge/ports.ts';
import { RedisBus } from './bus.ts';
import { checkSettings } from './check.ts';
import { Claims } from './claims.ts';
import { RedisClient } from './client.ts';
import { connect, newSubscriber, type StoreLog } from './connect.ts';
import { type ConnectionParts, RedisConnections } from './connections.ts';
import { RedisExchanges } from './exchanges.ts';
import { RedisInbound } from './inbound.ts';
import { Keys } from './keys.ts';
import { RedisLeases } from './leases.ts';
import { RedisMembers } from './members.ts';
import { RedisPublications } from './publications.ts';
import { RedisQueues } from './queues.ts';
import { RecordIndex } from './record-index.ts';
import { RecordTable } from './record-table.ts';
import { parseRedisUrl } from './redis-url.ts';
import { ReplicatedRunner } from './replication.ts';
import { RedisSchedule } from './schedule.ts';
import { loadScripts } from './scripts.ts';
import { type SweepReport, sweep } from './sweep.ts';
import { WakeUps } from './wake-ups.ts';

export type { SweepReport } from './sweep.ts';

const SWEEP_INTERVAL_MS = 5 * 60 * 1_000;
/** The first one is soon: what a release without a schedule left behind has no entries in it. */
const FIRST_SWEEP_MS = 4_000;

export interface RedisStoreOptions {
  /** See `parseRedisUrl`. */
  readonly url: string;
  /** Before every name in Redis, so that deployments can share one; without braces. */
  readonly prefix: string;
  /** How many replicas must have a write before it counts as committed; 0 when not said. */
  readonly minReplicas?: number;
  /** Names the connections in CLIENT LIST. */
  readonly nodeId: string;
  /** Whether it sweeps by itself, soon and then every few minutes; it does unless this says no. */
  readonly sweeps?: boolean;
  readonly log?: StoreLog;
}

export interface RedisStore extends Store {
  /** Repairs the list, the unique names and the schedule now. */
  sweep(): Promise<SweepReport>;
}

/**
 * The shared store: Redis 7 alone, behind Sentinels, or as a Cluster. Rejects with `StoreUnavailable` when it cannot
 * be reached now; from then on it reconnects by itself. Logs what in the servers' settings weakens the guarantees.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<RedisStore> {
  const { url, prefix, minReplicas = 0, nodeId, sweeps = true, log = SILENT } = options;
  const address = parseRedisUrl(url);
  const keys = new Keys(prefix);
  const scripts = loadScripts();
  const name = `mqtt-http-bridge:${nodeId.replaceAll(/[^!-~]/g, '-')}`;

  const connection = await connect(address, name, log);
  const client = new RedisClient(connection, scripts);
  const writer = minReplicas > 0 ? await openWriter() : null;
  const durable = writer === null ? client : new ReplicatedRunner(writer, minReplicas);
  for (const finding of await checkSettings(client)) log.warn({}, finding);

  const wakeUps = new WakeUps({
    newSubscriber: () => newSubscriber(address, client.masters(), `${name}:subscriber`),
  });
  const bus = new RedisBus({
    client,
    keys,
    newSubscriber(channel) {
      const master = client.masterOf(channel);
      return newSubscriber(address, master === undefined ? [] : [master], `${name}:bus`);
    },
  });
  const schedule = new RedisSchedule(client, keys);
  const records = new RecordTable(client, durable, keys);
  const parts: ConnectionParts = {
    keys,
    records,
    claims: new Claims(client, records),
    index: new RecordIndex(client, keys),
    schedule,
  };
  let closed: Promise<void> | null = null;

  async function openWriter(): Promise<RedisClient> {
    try {
      return new RedisClient(await connect(address, `${name}:writer`, log), scripts);
    } catch (error) {
      await client.close();
      throw error;
    }
  }
  let sweeping: NodeJS.Timeout | undefined;
  if (sweeps) sweepIn(FIRST_SWEEP_MS);

  /** Any instance may; at different times, so that they do not all do it at once. */
  function sweepIn(ms: number): void {
    sweeping = setTimeout(runSweep, ms * (0.5 + Math.random())).unref();
  }
  async function runSweep(): Promise<void> {
    try {
      await sweep(client, parts);
    } catch (error) {
      if (closed === null) log.warn({ err: error }, 'the sweep failed');
    }
    if (closed === null) sweepIn(SWEEP_INTERVAL_MS);
  }
  async function close(): Promise<void> {
    clearTimeout(sweeping);
    wakeUps.close();
    bus.close();
    await Promise.all([client.close(), writer?.close()]);
  }
  return {
    connections: new RedisConnections(parts),
    leases: new RedisLeases(client, keys, wakeUps),
    members: new RedisMembers(client, keys),
    bus,
    schedule,
    inbound: new RedisInbound(client, durable, keys),
    queues: new RedisQueues(client, keys, wakeUps),
    exchanges: new RedisExchanges(client, durable, keys),
    publications: new RedisPublications(client, durable, keys),
    ping: () => client.ping(),
    sweep: () => sweep(client, parts),
    close() {
      closed ??= close();
      return closed;
    },
  };
}

const SILENT: StoreLog = { info() {}, warn() {} };
