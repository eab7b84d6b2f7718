import { type RedisServer, startRedis } from '../../test/helpers/redis.ts';
import { callJson } from '../json-http.ts';
import type { Own } from '../resources.ts';
import { newDeployment, profiling, type Server, startServer } from '../servers.ts';

export interface Instance extends Server {
  readonly nodeId: string;
}

/** A deployment with a Redis of its own, to which instances can be added. */
export interface Deployment {
  readonly redis: RedisServer;
  /** Starts one more; the last number and one is its name when none is given. Ready when it resolves. */
  start(options?: { readonly nodeId?: string; readonly nodeArguments?: readonly string[] }): Promise<Instance>;
}

export interface DeploymentOptions {
  readonly mqttUrl: string;
  readonly own: Own;
  /** Directory for CPU profiles, or null. */
  readonly profile: string | null;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Redis with `appendfsync always`: what the bridge promises in full. */
export async function newFleet(options: DeploymentOptions): Promise<Deployment> {
  const { mqttUrl, own, profile, environment = {} } = options;
  const redis = own(await startRedis({ appendfsync: 'always' }));
  const common = { ...newDeployment(mqttUrl), ...environment, STORE_URL: redis.url };
  let count = 0;
  return {
    redis,
    async start({ nodeId, nodeArguments = [] } = {}) {
      count += 1;
      const name = nodeId ?? `bench-${count}`;
      const nodeOptions = [...nodeArguments, ...profiling(profile, `${name}-of-${redis.port}`)];
      const server = await startServer('src/server.ts', { ...common, NODE_ID: name }, nodeOptions);
      return { ...own(server), nodeId: name };
    },
  };
}

/** Declares Connections, with so many requests at the same time; answers who owns each. */
export async function declareAll(
  instances: readonly Instance[],
  ids: readonly string[],
  document: (id: string) => object,
): Promise<ReadonlyMap<string, string>> {
  const owners = new Map<string, string>();
  const waiting = ids.entries();
  const work = async () => {
    for (const [index, id] of waiting) {
      const port = instances[index % instances.length]?.port ?? 0;
      const view = await callJson(port, 'PUT', `/v1/connections/${id}`, document(id));
      owners.set(id, (view as { owner: string }).owner);
    }
  };
  await Promise.all(Array.from({ length: DECLARED_AT_ONCE }, work));
  return owners;
}

const DECLARED_AT_ONCE = 50;
