import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { StoreUnavailable } from '../../bridge/ports.ts';
import { unavailable } from './errors.ts';
import { gatherWrites } from './gathered-writes.ts';
import type { RedisAddress, RedisNode } from './redis-url.ts';

export type Connection = Redis | Cluster;

/** The member left out decides the types of replies, so ioredis does not take it where it may be undefined. */
type Options = Omit<RedisOptions, 'replyMapping'>;

/** The part of a logger that the store uses. Nothing secret is handed to it. */
export interface StoreLog {
  info(details: object, text: string): void;
  warn(details: object, text: string): void;
}

/** Milliseconds. A stopped server is noticed by the first; a silent network by the second, which closes the socket. */
const COMMAND_TIMEOUT = 3_000;
const SOCKET_TIMEOUT = 5_000;
const CONNECT_TIMEOUT = 2_000;
/** The whole of the first connect, resolving names, asking Sentinels and a Cluster's nodes included. */
const OPEN_TIMEOUT = 8_000;

/**
 * Connects, and keeps reconnecting by itself from then on. Rejects with `StoreUnavailable` when the first attempt fails.
 *
 * No command is queued while there is no connection, and none is sent again after one was lost: a rejected write may
 * or may not have happened, but it never happens later.
 */
export async function connect(address: RedisAddress, name: string, log: StoreLog): Promise<Connection> {
  const connection = address.kind === 'cluster' ? newCluster(address, name) : newRedis(address, name);
  if (connection instanceof Cluster) connection.on('+node', gatherWrites);
  else gatherWrites(connection);
  let reason: unknown = null;
  connection.on('error', (error) => {
    reason ??= error;
  });
  // Emitted by a Cluster only, before the error that merely says that all nodes failed.
  connection.on('node error', (error) => {
    reason ??= error;
  });
  try {
    await within(OPEN_TIMEOUT, open(connection));
  } catch (error) {
    connection.disconnect();
    throw unavailable(reason ?? error);
  }
  reportLosses(connection, log);
  return connection;
}

/**
 * A connection for subscriptions, which ends when it is lost; who uses it makes the next one. In a Cluster it is one to
 * any of these servers, or of the nodes that the address names when none is known.
 */
export function newSubscriber(address: RedisAddress, servers: readonly Redis[], name: string): Redis {
  if (address.kind !== 'cluster') return newRedis(address, name, { retryStrategy: null });
  const known = servers.map(({ options: { host, port } }) => ({ host, port }));
  const node = sample(known.length > 0 ? known : address.nodes);
  return new Redis({ ...common(address, name), ...node, retryStrategy: null });
}

function newRedis(address: Exclude<RedisAddress, { kind: 'cluster' }>, name: string, overrides: Options = {}): Redis {
  const { database: db, tls } = address;
  const where: Options =
    address.kind === 'standalone'
      ? { ...address.node }
      : {
          sentinels: address.sentinels.map((node) => ({ ...node })),
          name: address.name,
          sentinelRetryStrategy: backoff,
          sentinelCommandTimeout: COMMAND_TIMEOUT,
          ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
        };
  return new Redis({ ...common(address, name), retryStrategy: backoff, ...where, db, ...overrides });
}

function newCluster(address: Extract<RedisAddress, { kind: 'cluster' }>, name: string): Cluster {
  // Certificates name hosts: with TLS a host name must not be replaced by its address.
  const keepNames: Pick<ClusterOptions, 'dnsLookup'> = address.tls
    ? { dnsLookup: (host, callback) => callback(null, host) }
    : {};
  return new Cluster(
    address.nodes.map((node: RedisNode) => ({ ...node })),
    {
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: backoff,
      // Only what a node refused to execute (MOVED, ASK, TRYAGAIN) is sent again.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      slotsRefreshInterval: 5_000,
      slotsRefreshTimeout: CONNECT_TIMEOUT,
      redisOptions: common(address, name),
      ...keepNames,
    },
  );
}

function common({ username, password, tls }: RedisAddress, name: string): Options {
  return {
    connectionName: name,
    protocol: 2,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // What was under way when the connection was lost is rejected then, and not at the next one.
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT,
    socketTimeout: SOCKET_TIMEOUT,
    connectTimeout: CONNECT_TIMEOUT,
    // A master that became a replica: the next connection finds the new one.
    reconnectOnError: (error) => error.message.includes('READONLY'),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
}

/** Milliseconds until the next attempt: doubling up to a second, with full jitter above a floor. */
export function backoff(attempt: number): number {
  return 20 + Math.random() * Math.min(1_000, 20 * 2 ** attempt);
}

async function open(connection: Connection): Promise<void> {
  await connection.connect();
  if (!(connection instanceof Cluster)) return;
  // A Cluster's nodes are connected at their first command, and a second one at that moment would be refused.
  await Promise.all(connection.nodes('master').map((node) => node.ping()));
}

/** Rejects with `StoreUnavailable` when the time is over. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new StoreUnavailable('The Redis store did not answer in time')), milliseconds);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

function reportLosses(connection: Connection, log: StoreLog): void {
  let lost = false;
  connection.on('reconnecting', () => {
    if (!lost) log.warn({}, 'The connection to Redis was lost; connecting again');
    lost = true;
  });
  connection.on('ready', () => {
    if (lost) log.info({}, 'Connected to Redis again');
    lost = false;
  });
}

function sample<T>(items: readonly T[]): T | undefined {
  return items[Math.floor(Math.random() * items.length)];
}
