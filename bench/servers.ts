import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Mosquitto, startMosquitto } from '../test/helpers/mosquitto.ts';
import { freePort, waitForPort } from '../test/helpers/ports.ts';
import { type RunningProcess, startProcess } from '../test/helpers/process.ts';
import { startRedis } from '../test/helpers/redis.ts';
import { temporaryDirectory } from '../test/helpers/temporary.ts';
import type { Own } from './resources.ts';

const ROOT = join(import.meta.dirname, '..');

export interface Server {
  readonly port: number;
  readonly pid: number;
  readonly process: RunningProcess;
  stop(): Promise<unknown>;
}

/** Where the bridge keeps its state, and how durably. */
export const STORES = ['SQLite', 'Redis everysec', 'Redis always'] as const;
export type StoreName = (typeof STORES)[number];

/**
 * A broker whose limits are not what is measured: its queues are unbounded, and so is what may be in flight, unless a
 * bound is given.
 */
export function startBroker(maxInflight = 0): Promise<Mosquitto> {
  const limits = [`max_inflight_messages ${maxInflight}`, 'max_queued_messages 0', 'set_tcp_nodelay true'];
  // A line for each packet would cost more than the packet; "running" is information.
  return startMosquitto({ config: [...limits, 'log_type none', 'log_type information'] });
}

/** The same, and it logs each client that comes or goes. */
export function startTellingBroker(): Promise<Mosquitto> {
  const limits = ['max_queued_messages 0', 'set_tcp_nodelay true'];
  return startMosquitto({ config: [...limits, 'log_type none', 'log_type information', 'log_type notice'] });
}

/** Starts a program of the project as a process of its own, with `PORT` in its environment; resolves when it listens. */
export async function startServer(
  script: string,
  env: Readonly<Record<string, string>>,
  nodeArguments: readonly string[] = [],
): Promise<Server> {
  const port = await freePort();
  const child = await startProcess(process.execPath, [...nodeArguments, join(ROOT, script)], {
    cwd: ROOT,
    env: { ...env, PORT: String(port) },
  });
  await Promise.race([waitForPort(port), endedEarly(child, script)]);
  return { port, pid: child.pid, process: child, stop: () => child.stop(10_000) };
}

async function endedEarly(child: RunningProcess, script: string): Promise<never> {
  await child.exited;
  throw new Error(`${script} ended:\n${child.output()}`);
}

/** The bridge itself, over a store of its own; what it stands on goes to `own`, and so does the bridge. */
export async function startBridge(
  store: StoreName,
  {
    mqttUrl,
    own,
    profile,
  }: {
    readonly mqttUrl: string;
    readonly own: Own;
    /** Directory for a CPU profile, or null. */
    readonly profile: string | null;
  },
): Promise<Server> {
  const environment = { ...newDeployment(mqttUrl), STORE_URL: await storeUrl(store, own) };
  return own(await startServer('src/server.ts', environment, profiling(profile, store.replace(' ', '-'))));
}

/** What all instances of one deployment have in common, beside their store. */
export function newDeployment(mqttUrl: string) {
  return {
    HOST: '127.0.0.1',
    BRIDGE_SECRET_KEY: randomBytes(32).toString('base64'),
    MQTT_URL: mqttUrl,
    ALLOW_URLS: 'mqtt://127.0.0.1:*',
    LOG_LEVEL: 'warn',
  };
}

/** Arguments of Node for a CPU profile in a folder of that name; none when none is wanted. */
export function profiling(directory: string | null, name: string): string[] {
  return directory === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(directory, name)}`];
}

async function storeUrl(store: StoreName, own: Own): Promise<string> {
  switch (store) {
    case 'SQLite':
      return `sqlite:${join(temporaryDirectory('bench'), 'bridge.db')}`;
    case 'Redis everysec':
      return own(await startRedis({ appendfsync: 'everysec' })).url;
    case 'Redis always':
      return own(await startRedis({ appendfsync: 'always' })).url;
  }
}
