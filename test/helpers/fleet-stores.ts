import { randomBytes } from 'node:crypto';
import type { Environment } from './bridge-process.ts';
import { hasReplicas, type RedisServer, startRedis, startRedisCluster, startSentinel } from './redis.ts';
import { until } from './until.ts';

const MASTER = 'bridge-master';
const SENTINELS = 3;

/** A Redis that several instances share. */
export interface FleetStore {
  /** STORE_URL and BRIDGE_SECRET_KEY. */
  readonly env: Environment;
  /** All servers that hold data, primaries first. */
  readonly servers: readonly RedisServer[];
  stop(): Promise<void>;
}

/** One server, which keeps all that it has confirmed through `kill` and `start`. */
export async function startStandalone(): Promise<FleetStore & { readonly redis: RedisServer }> {
  const redis = await startRedis({ appendfsync: 'always' });
  return { ...storeOf(redis.url, [redis], () => redis.stop()), redis };
}

/** A primary with two replicas, and three Sentinels of which two must agree. */
export async function startSentinelTrio(): Promise<FleetStore> {
  const primary = await startRedis({ appendfsync: 'always' });
  const follower = () => startRedis({ appendfsync: 'always', replicaOf: primary.port });
  const replicas = await Promise.all([follower(), follower()]);
  await hasReplicas(primary.admin, replicas.length);
  const quorum = Math.floor(SENTINELS / 2) + 1;
  const sentinels = await Promise.all(Array.from({ length: SENTINELS }, () => startSentinel(MASTER, primary, quorum)));
  for (const sentinel of sentinels) await sentinel.knows(replicas.length, SENTINELS - 1);
  const hosts = sentinels.map(({ url }) => new URL(url).host).join(',');
  return storeOf(`redis+sentinel://${hosts}/${MASTER}`, [primary, ...replicas], async () => {
    await Promise.all(sentinels.map((sentinel) => sentinel.stop()));
    await Promise.all([primary, ...replicas].map((server) => server.stop()));
  });
}

/** Three primaries with a replica each. */
export async function startReplicatedCluster(): Promise<FleetStore> {
  const cluster = await startRedisCluster({ replicated: true, redis: { appendfsync: 'always' } });
  return storeOf(cluster.url, cluster.servers, () => cluster.stop());
}

/** The primary that has what is stored of Connections, when it is of one Connection only. */
export async function primaryOfOnlyConnection({ servers }: FleetStore): Promise<RedisServer> {
  for (const server of servers) {
    const holds = async () => (await server.admin.keys('bridge:v1:{*}:session')).length > 0;
    if ((await isPrimary(server)) && (await holds())) return server;
  }
  throw new Error('no primary has a Connection');
}

/** Kills a primary (SIGKILL), and waits until a replica has taken its place. */
export async function failOver({ servers }: FleetStore, primary: RedisServer): Promise<void> {
  const roles = await Promise.all(servers.map(isPrimary));
  const replicas = servers.filter((_, index) => !roles[index]);
  await primary.kill();
  const oneIsPromoted = async () => (await Promise.all(replicas.map(isPrimary))).includes(true);
  await until(oneIsPromoted, { what: 'a replica has become the primary', within: 20_000 });
}

async function isPrimary({ admin }: RedisServer): Promise<boolean> {
  return (await admin.info('replication')).includes('role:master');
}

function storeOf(url: string, servers: readonly RedisServer[], stop: () => Promise<void>): FleetStore {
  return { env: { STORE_URL: url, BRIDGE_SECRET_KEY: randomBytes(32).toString('base64') }, servers, stop };
}
