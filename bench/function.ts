import { randomBytes } from 'node:crypto';
import { createCertificates } from '../test/helpers/certificates.ts';
import { startMosquitto } from '../test/helpers/mosquitto.ts';
import { startRedis } from '../test/helpers/redis.ts';
import type { Target } from './figures.ts';
import { callJson } from './json-http.ts';
import { publishBody, runLoad } from './load.ts';
import type { Load } from './load-generator.ts';
import type { Options, Plan } from './options.ts';
import { withResources } from './resources.ts';
import { type Server, startServer } from './servers.ts';
import { median } from './statistics.ts';
import { formatTable } from './table.ts';

const TRANSPORTS = ['tcp', 'tls'] as const;
/** What the warm path of a function is to be, in relation to connecting for each request. */
const BOUND = 5;
/** Requests at the same time in one process: AWS sends one, Google Cloud and Azure as many as they are told to. */
const CALLERS = [1, 64] as const;

/** A publish in function mode beside (b), which connects, publishes and disconnects, over one transport. */
export interface FunctionFigures {
  readonly transport: (typeof TRANSPORTS)[number];
  readonly callers: (typeof CALLERS)[number];
  /** Requests/s and milliseconds; medians over the rounds. */
  readonly warm: Pick<Load, 'requestsPerSecond' | 'p50' | 'p99'>;
  readonly connecting: Pick<Load, 'requestsPerSecond' | 'p50' | 'p99'>;
  /** The median of the rounds' own ratios of requests/s. */
  readonly ratio: number;
}

/** Requests at QoS 1 for one Connection, as platforms send them to a process, in interleaved rounds. */
export function compareFunction(
  { plan }: Options,
  progress: (text: string) => void,
): Promise<readonly FunctionFigures[]> {
  return withResources(async (own) => {
    const certificates = await createCertificates();
    const quiet = ['log_type none', 'log_type information', 'set_tcp_nodelay true'];
    const broker = own(await startMosquitto({ listeners: ['tcp', 'tls'], certificates, config: quiet }));
    const redis = own(await startRedis());
    const trust = { NODE_EXTRA_CA_CERTS: certificates.ca.certFile };
    const pairs: { transport: (typeof TRANSPORTS)[number]; warm: Server; connecting: Server; path: string }[] = [];
    for (const transport of TRANSPORTS) {
      const { url } = broker.over(transport);
      const connecting = own(await startServer('bench/servers/connect-per-request.ts', { ...trust, MQTT_URL: url }));
      const environment = {
        ...{ ...trust, MQTT_URL: url, BRIDGE_MODE: 'function', HOST: '127.0.0.1', LOG_LEVEL: 'warn' },
        ...{ STORE_URL: redis.url, STORE_PREFIX: transport, BRIDGE_SECRET_KEY: randomBytes(32).toString('base64') },
      };
      const warm = own(await startServer('src/server.ts', environment));
      const path = `/v1/connections/bench-${transport}`;
      await callJson(warm.port, 'PUT', path, { sessionExpiryInterval: 600 });
      pairs.push({ transport, warm, connecting, path: `${path}/publish` });
    }
    const rounds = pairs.flatMap((pair) =>
      CALLERS.map((callers) => ({ pair, callers, warm: [] as Load[], connecting: [] as Load[] })),
    );
    // The first round is not counted: it warms all of them up.
    for (let round = 0; round <= plan.publishRounds; round += 1) {
      progress(round === 0 ? 'function: warm-up' : `function: round ${round} of ${plan.publishRounds}`);
      for (const { pair, callers, warm, connecting } of round % 2 === 1 ? rounds : rounds.toReversed()) {
        const measured = [
          await load(pair.warm, pair.path, callers, plan),
          await load(pair.connecting, '/publish', callers, plan),
        ] as const;
        if (round === 0) continue;
        warm.push(measured[0]);
        connecting.push(measured[1]);
      }
    }
    return rounds.map(({ pair: { transport }, callers, warm, connecting }) => ({
      transport,
      callers,
      warm: medians(warm),
      connecting: medians(connecting),
      ratio: median(warm.map((one, index) => one.requestsPerSecond / (connecting[index]?.requestsPerSecond ?? 0))),
    }));
  });
}

export function reportFunction(figures: readonly FunctionFigures[], plan: Plan): string {
  const cells = ({ requestsPerSecond, p50, p99 }: FunctionFigures['warm']) => [
    Math.round(requestsPerSecond).toLocaleString('en'),
    p50.toFixed(2),
    p99.toFixed(2),
  ];
  const rows = figures.flatMap(({ transport, callers, warm, connecting, ratio }) => [
    [`(b) connect, publish, disconnect, ${transport}`, String(callers), ...cells(connecting), '1.00'],
    [`bridge as a function, ${transport}`, String(callers), ...cells(warm), ratio.toFixed(2)],
  ]);
  const conditions = `QoS 1, Redis everysec; medians of ${plan.publishRounds} rounds of ${plan.measureMs / 1000} s`;
  return `Function: ${conditions}\n\n${formatTable(['', 'at once', 'requests/s', 'p50 ms', 'p99 ms', '× (b)'], rows)}\n`;
}

export function functionTargets(figures: readonly FunctionFigures[]): Target[] {
  return figures.map(({ transport, callers, ratio }) => ({
    what: `publish in a function, ${transport}, ${callers} at once, to (b)`,
    bound: BOUND,
    measured: ratio,
  }));
}

function load({ port, pid }: Server, path: string, callers: number, { warmUpMs, measureMs }: Plan): Promise<Load> {
  const job = { targets: [{ port, path }], pids: [pid], body: publishBody(1), warmUpMs, measureMs };
  return runLoad(job, path, callers);
}

function medians(rounds: readonly Load[]): FunctionFigures['warm'] {
  return {
    requestsPerSecond: median(rounds.map(({ requestsPerSecond }) => requestsPerSecond)),
    p50: median(rounds.map(({ p50 }) => p50)),
    p99: median(rounds.map(({ p99 }) => p99)),
  };
}
