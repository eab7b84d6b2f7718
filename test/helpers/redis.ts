import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { succeeds } from './outcome.ts';
import { freePorts } from './ports.ts';
import { type RunningProcess, startProcess } from './process.ts';
import { temporaryDirectory } from './temporary.ts';
import { until } from './until.ts';

const HOST = '127.0.0.1';
const SLOTS = 16_384;
/** Milliseconds after which the nodes of a Cluster with replicas take one for lost; Redis's own default is 15 s. */
const NODE_TIMEOUT = 1_000;

export interface RedisOptions {
  /** The append-only file is on; `everysec` when not said. */
  readonly appendfsync?: 'always' | 'everysec' | 'no';
  /** Makes it a replica of the server on that port. */
  readonly replicaOf?: number;
  readonly password?: string;
  /** More arguments of redis-server: `['--maxmemory', '10mb']`. */
  readonly arguments?: readonly string[];
}

/** A Redis server of one's own: its own process, port and directory. Ends with the test process at the latest. */
export interface RedisServer {
  /** With the password, when there is one. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** A client for what the test itself asks of the server. Closed by `stop`. */
  readonly admin: Redis;
  /** SIGTERM. */
  stop(): Promise<void>;
  /** SIGKILL: what it had not written is lost. */
  kill(): Promise<void>;
  /** After `kill`: the same port, directory and options. Resolves when it answers and its data is loaded. */
  start(): Promise<void>;
  /** To freeze (SIGSTOP) and thaw (SIGCONT) it. */
  signal(signal: NodeJS.Signals): void;
}

export interface RedisCluster {
  readonly url: string;
  readonly servers: readonly RedisServer[];
  stop(): Promise<void>;
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('unreachable');
  return await startOnPort(port, options);
}

export interface RedisSentinel {
  readonly url: string;
  /** Waits until it has found so many replicas, and so many other Sentinels. */
  knows(replicas: number, sentinels: number): Promise<void>;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** Three when not said. */
  readonly primaries?: number;
  /** Whether each primary has a replica, which takes its place when it is gone. */
  readonly replicated?: boolean;
  /** More of each server. */
  readonly redis?: RedisOptions;
}

/**
 * A Cluster of real servers, primaries first; every node knows all the others and every slot, and every replica follows
 * its primary, before it resolves.
 */
export async function startRedisCluster({
  primaries = 3,
  replicated = false,
  redis = {},
}: ClusterOptions = {}): Promise<RedisCluster> {
  const nodes = replicated ? 2 * primaries : primaries;
  const ports = await freePorts(nodes * 2);
  const started: RedisServer[] = [];
  const stop = async () => {
    await Promise.all(started.map((server) => server.stop()));
  };
  try {
    for (let index = 0; index < nodes; index += 1) {
      const [port, busPort] = ports.slice(index * 2);
      if (port === undefined || busPort === undefined) throw new Error('unreachable');
      const own = [...clusterArguments(busPort, replicated), ...(redis.arguments ?? [])];
      started.push(await startOnPort(port, { ...redis, arguments: own }));
    }
    await joinNodes(started, started.slice(0, primaries), ports);
    if (replicated) await replicate(started.slice(0, primaries), started.slice(primaries));
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis+cluster://${started.map(({ port }) => `${HOST}:${port}`).join(',')}`, servers: started, stop };
}

/** A Sentinel that watches one master and fails over by itself within seconds, once `quorum` of them find it down. */
export async function startSentinel(name: string, master: RedisServer, quorum = 1): Promise<RedisSentinel> {
  const [port] = await freePorts(1);
  const directory = temporaryDirectory('sentinel');
  // A file, because Sentinel writes down there what it learns.
  const configuration = join(directory, 'sentinel.conf');
  await writeFile(
    configuration,
    [
      `port ${port}`,
      `bind ${HOST}`,
      `dir ${directory}`,
      `sentinel monitor ${name} ${HOST} ${master.port} ${quorum}`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 3000`,
    ].join('\n'),
  );
  const sentinel = await startProcess('redis-server', [configuration, '--sentinel']);
  await sentinel.waitForOutput(/\+monitor master/);
  return {
    url: `redis+sentinel://${HOST}:${port}/${name}`,
    async knows(replicas, sentinels) {
      const lines = (start: string) => sentinel.output().split(` ${start} `).length - 1;
      const all = () => lines('+slave slave') >= replicas && lines('+sentinel sentinel') >= sentinels;
      await sentinel.waitForState(() => all() || null, 'the Sentinel knows the others');
    },
    async stop() {
      await sentinel.stop();
    },
  };
}

function clusterArguments(busPort: number, replicated: boolean): string[] {
  return [
    ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-port', String(busPort)],
    ...(replicated ? ['--cluster-node-timeout', String(NODE_TIMEOUT), '--cluster-replica-validity-factor', '0'] : []),
  ];
}

async function joinNodes(
  servers: readonly RedisServer[],
  primaries: readonly RedisServer[],
  ports: readonly number[],
): Promise<void> {
  for (const [index, { admin }] of primaries.entries()) {
    const first = Math.floor((index * SLOTS) / primaries.length);
    const last = Math.floor(((index + 1) * SLOTS) / primaries.length) - 1;
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', first, last);
  }
  for (const [index, { admin }] of servers.entries()) await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  const [meeting] = servers;
  if (meeting === undefined) throw new Error('a Cluster needs a node');
  const [meetingPort = 0, meetingBusPort = 0] = ports;
  for (const { admin } of servers.slice(1)) {
    await admin.call('CLUSTER', 'MEET', HOST, meetingPort, meetingBusPort);
  }
  for (const { admin } of servers) {
    await until(
      async () => {
        const info = String(await admin.call('CLUSTER', 'INFO'));
        return (
          info.includes('cluster_state:ok') &&
          info.includes(`cluster_slots_ok:${SLOTS}`) &&
          info.includes(`cluster_known_nodes:${servers.length}`)
        );
      },
      { what: 'every node of the Cluster knows every slot', within: 20_000 },
    );
  }
}

async function replicate(primaries: readonly RedisServer[], replicas: readonly RedisServer[]): Promise<void> {
  for (const [index, { admin }] of replicas.entries()) {
    const primary = String(await primaries[index]?.admin.call('CLUSTER', 'MYID'));
    await admin.call('CLUSTER', 'REPLICATE', primary);
  }
  for (const { admin } of primaries) await hasReplicas(admin, 1);
}

/** Waits until so many replicas follow a server. */
export async function hasReplicas(admin: Redis, count: number): Promise<void> {
  const follow = async () => (await admin.info('replication')).split('state=online').length > count;
  await until(follow, { what: `${count} replicas follow`, within: 20_000 });
}

async function startOnPort(port: number, options: RedisOptions): Promise<RedisServer> {
  const directory = temporaryDirectory('redis');
  const credentials = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}@`;
  const url = `redis://${credentials}${HOST}:${port}`;
  let server = await launch(port, directory, options);
  const admin = new Redis(url, { protocol: 2, retryStrategy: (attempt) => Math.min(attempt * 10, 100) });
  // It reconnects by itself after `kill`; what cannot be sent meanwhile fails where it was asked.
  admin.on('error', () => {});
  const end = async (how: (running: RunningProcess) => Promise<unknown>) => {
    server.signal('SIGCONT');
    await how(server);
  };
  await ready(admin);
  return {
    url,
    port,
    get pid() {
      return server.pid;
    },
    admin,
    async stop() {
      admin.disconnect();
      await end((running) => running.stop());
    },
    kill: () => end((running) => running.kill()),
    async start() {
      server = await launch(port, directory, options);
      await ready(admin);
    },
    signal: (signal) => server.signal(signal),
  };
}

async function launch(port: number, directory: string, options: RedisOptions): Promise<RunningProcess> {
  const { appendfsync = 'everysec', replicaOf, password } = options;
  const settings = [
    ...['--port', String(port), '--bind', HOST, '--dir', directory, '--save', ''],
    ...['--appendonly', 'yes', '--appendfsync', appendfsync, '--repl-diskless-sync-delay', '0'],
    ...(replicaOf === undefined ? [] : ['--replicaof', `${HOST} ${replicaOf}`]),
    ...(password === undefined ? [] : ['--requirepass', password]),
    ...(options.arguments ?? []),
  ];
  try {
    const server = await startProcess('redis-server', settings);
    await server.waitForOutput(/Ready to accept connections/);
    return server;
  } catch (cause) {
    if (isMissing(cause)) throw new Error('redis-server is not installed: apt-get install redis-server', { cause });
    throw cause;
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error && error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'ENOENT'
  );
}

async function ready(admin: Redis): Promise<void> {
  await until(() => succeeds(admin.ping()), { what: 'Redis answers PING' });
}
