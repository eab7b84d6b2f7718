import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request as sendRequest } from 'node:http';
import { join } from 'node:path';
import { builtGateway } from './built-gateway.ts';
import { freePort } from './ports.ts';
import { type ProcessExit, type RunningProcess, startProcess } from './process.ts';
import { temporaryDirectory } from './temporary.ts';

/** Milliseconds: a start takes one or two seconds, and much longer on a machine that is busy with other tests. */
const START_WITHIN = 30_000;

/** What Node is started with, to serve the bridge at PORT. */
export type Program = readonly [path: string, ...args: string[]];

/** Compiling costs half of a start. */
const COMPILE_CACHE = join(import.meta.dirname, '../../node_modules/.cache/compile');

/** Of the machine that runs the tests; the bridge must not see them. */
const UNSET = {
  ...{ STORE_URL: undefined, STORE_PREFIX: undefined, MQTT_URL: undefined, BRIDGE_CONFIG: undefined },
  ...{ ALLOW_URLS: undefined, BRIDGE_API_KEY: undefined, BRIDGE_SECRET_KEY: undefined, BRIDGE_MODE: undefined },
  ...{ NODE_ID: undefined, LEASE_TTL_MS: undefined, MAX_PAYLOAD: undefined, REQUIRE_TLS: undefined },
  ...{ POOL_MAX: undefined, STORE_MIN_REPLICAS: undefined },
};

export type Environment = Readonly<Record<string, string | undefined>>;

export interface RequestOptions {
  /** Sent as `application/json`. */
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  readonly headers?: OutgoingHttpHeaders;
}

export interface Answer<T> {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The JSON in the body; undefined when the body is not JSON. It is the test that says, and asserts, its shape. */
  readonly json: T;
}

export interface BridgeProcess {
  readonly url: string;
  /** Its working directory, in which it keeps its data. */
  readonly directory: string;
  readonly pid: number;
  /** What it wrote since it was last started. */
  output(): string;
  /** Sends the path as it is written here: nothing is normalised. */
  request<T = unknown>(method: string, path: string, options?: RequestOptions): Promise<Answer<T>>;
  /** SIGKILL. */
  kill(): Promise<ProcessExit>;
  /** SIGTERM; SIGKILL after the 10 s that it has to end by itself. */
  stop(): Promise<ProcessExit>;
  /** Stops it when it still runs, and starts it again on the same data and port. */
  restart(): Promise<void>;
  /** To freeze (SIGSTOP) and thaw (SIGCONT) it. */
  signal(signal: NodeJS.Signals): void;
}

export interface BridgeOptions {
  readonly env?: Environment;
  /** The gateway as it is deployed when not said. */
  readonly program?: Program;
}

/** Runs the bridge as its own process in a new temporary directory, and waits until it answers. */
export async function startBridgeProcess({ env = {}, program }: BridgeOptions = {}): Promise<BridgeProcess> {
  const directory = temporaryDirectory('bridge');
  const port = await freePort();
  const launch = async () => {
    const child = await launchBridge(directory, { PORT: String(port), ...env }, program);
    await child.waitForOutput(/"msg":"listening"/, START_WITHIN);
    return child;
  };
  const stop = () => server.stop(10_000);
  let server = await launch();
  return {
    url: `http://127.0.0.1:${port}`,
    directory,
    get pid() {
      return server.pid;
    },
    output: () => server.output(),
    request: (method, path, options) => send(port, method, path, options),
    kill: () => server.kill(),
    stop,
    async restart() {
      await stop();
      server = await launch();
    },
    signal: (signal) => server.signal(signal),
  };
}

/** Starts the bridge without waiting for it: for those that refuse to start. */
export async function launchBridge(directory: string, env: Environment, program?: Program): Promise<RunningProcess> {
  return startProcess(process.execPath, [...(program ?? [await builtGateway()])], {
    cwd: directory,
    env: { ...UNSET, NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
  });
}

function send<T>(
  port: number,
  method: string,
  path: string,
  { json, body, headers = {} }: RequestOptions = {},
): Promise<Answer<T>> {
  const content = json === undefined ? body : JSON.stringify(json);
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method, path, headers: { ...type, ...headers }, agent: false };
    const outgoing = sendRequest(options, async (response) => {
      try {
        const bytes = Buffer.concat(await response.toArray());
        const text = bytes.toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, text, json: parse(text) as T });
      } catch (error) {
        reject(error);
      }
    });
    outgoing.on('error', reject);
    outgoing.end(content);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
