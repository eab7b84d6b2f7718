import { type Balancer, balance, type Target } from './balancer.ts';
import { type BridgeOptions, type BridgeProcess, type Environment, startBridgeProcess } from './bridge-process.ts';
import type { Mosquitto } from './mosquitto.ts';
import type { ProcessExit } from './process.ts';
import { until } from './until.ts';

/** Milliseconds of a lease in a fleet. */
export const LEASE_TTL_MS = 3_000;
/** Milliseconds within which the Connections of a dead owner are attached elsewhere. */
export const FAIL_OVER_MS = LEASE_TTL_MS + 5_000;

/** One of the instances behind the load balancer. */
export interface Instance extends Target, Pick<BridgeProcess, 'url' | 'output' | 'request'> {
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<ProcessExit>;
  /** After `kill` or `stop`: on the same port, with the same NODE_ID; resolves when it is ready. */
  start(): Promise<void>;
  /** SIGSTOP: it does nothing more, and its sockets stay open. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
}

/** Several instances on one store. */
export interface Fleet extends Balancer {
  readonly instances: readonly Instance[];
  /** The instance of that NODE_ID. */
  named(nodeId: string): Instance;
  /** All but that one. */
  others(instance: Instance): Instance[];
  /** Starts one more. */
  add(): Promise<Instance>;
  /** SIGKILL to all of them. */
  end(): Promise<void>;
}

export interface FleetOptions extends Pick<BridgeOptions, 'program'> {
  readonly broker: Pick<Mosquitto, 'url'>;
  /** Where the state is: STORE_URL and BRIDGE_SECRET_KEY. */
  readonly store: { readonly env: Environment };
  /** Three when not said. */
  readonly count?: number;
  /** Of all of them, or of each. */
  readonly env?: Environment | ((nodeId: string) => Environment);
}

/** NODE_IDs are `node-1` and so on. `request` goes to each of those that are up in turn. */
export async function startFleet({ broker, store, count = 3, env = {}, program }: FleetOptions): Promise<Fleet> {
  const instances: Instance[] = [];
  let lastNumber = 0;
  const add = async () => {
    lastNumber += 1;
    const nodeId = `node-${lastNumber}`;
    const own = typeof env === 'function' ? env(nodeId) : env;
    const common = { ...store.env, MQTT_URL: broker.url, LEASE_TTL_MS: String(LEASE_TTL_MS), NODE_ID: nodeId };
    const instance = await startInstance(nodeId, {
      env: { ...common, ...own },
      ...(program === undefined ? {} : { program }),
    });
    instances.push(instance);
    return instance;
  };
  const end = async () => {
    await Promise.all(instances.map((instance) => instance.kill()));
  };
  const started = await Promise.allSettled(Array.from({ length: count }, add));
  const failure = started.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    await end();
    throw failure.reason;
  }
  instances.sort((one, other) => one.nodeId.localeCompare(other.nodeId));
  return {
    ...balance(() => instances),
    instances,
    named(nodeId) {
      const found = instances.find((instance) => instance.nodeId === nodeId);
      if (found === undefined) throw new Error(`there is no instance ${nodeId}`);
      return found;
    },
    others: (instance) => instances.filter((other) => other !== instance),
    add,
    end,
  };
}

async function startInstance(nodeId: string, options: BridgeOptions): Promise<Instance> {
  const bridge = await startBridgeProcess(options);
  let isUp = true;
  const ready = async () => {
    const isReady = async () => (await bridge.request('GET', '/readyz')).status === 200;
    await until(isReady, { what: `${nodeId} is ready`, within: 30_000 });
    isUp = true;
  };
  await ready();
  return {
    nodeId,
    url: bridge.url,
    get isUp() {
      return isUp;
    },
    output: () => bridge.output(),
    request: (method, path, options) => bridge.request(method, path, options),
    async kill() {
      isUp = false;
      await bridge.kill();
    },
    async stop() {
      // The balancer notices when it has ended, and not that it is about to.
      const exit = await bridge.stop();
      isUp = false;
      return exit;
    },
    async start() {
      await bridge.restart();
      await ready();
    },
    freeze() {
      isUp = false;
      bridge.signal('SIGSTOP');
    },
    thaw() {
      bridge.signal('SIGCONT');
      isUp = true;
    },
  };
}
