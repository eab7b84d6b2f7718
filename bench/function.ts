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
import { medianOf, ratio } from './statistics.ts';
import { formatTable } from './table.ts';

const TRANSPORTS = ['tcp', 'tls'] as const;
/** What the warm path of a function is to be, in relation to connecting for each request. */
const BOUND = 5;
/** Requests at the same time in one process: AWS sends one, Google Cloud and Azure as many as they are told to. */
const CALLERS = [1, 64] as const;

const CONTESTANTS = {
  connecting: '(b) connect, publish, disconnect',
  warm: '(d) minimal warm server',
  bridge: 'bridge as a function',
} as const;
type Contestant = keyof typeof CONTESTANTS;

/** One contestant over one transport. */
export interface FunctionFigures {
  readonly contestant: Contestant;
  readonly transport: (typeof TRANSPORTS)[number];
  readonly callers: (typeof CALLERS)[number];
  /** Medians over the rounds. */
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Requests/s in relation to (b). */
  readonly ratio: number;
}

interface Subject {
  readonly contestant: Contestant;
  readonly transport: (typeof TRANSPORTS)[number];
  readonly server: Server;
  readonly path: string;
}

/**
 * Requests at QoS 1 for one Connection, as platforms send them to a process, in interleaved rounds. (d) keeps its connection
 * and asks no store whether it may use it: nobody who answers HTTP is faster.
 */
export function compareFunction(
  { plan }: Options,
  progress: (text: string) => void,
): Promise<readonly FunctionFigures[]> {
  return withResources(async (own) => {
    const certificates = await createCertificates();
    const quiet = ['log_type none', 'log_type information', 'set_tcp_nodelay true'];
    const broker = own(await startMosquitto({ listeners: ['tcp', 'tls'], certificates, config: quiet }));
    const redis = own(await startRedis());
    const subjects: Subject[] = [];
    for (const transport of TRANSPORTS) {
      const reach = { NODE_EXTRA_CA_CERTS: certificates.ca.certFile, MQTT_URL: broker.over(transport).url };
      const asFunction = {
        ...{ BRIDGE_MODE: 'function', HOST: '127.0.0.1', LOG_LEVEL: 'warn' },
        ...{ STORE_URL: redis.url, STORE_PREFIX: transport, BRIDGE_SECRET_KEY: randomBytes(32).toString('base64') },
      };
      const connecting = own(await startServer('bench/servers/connect-per-request.ts', reach));
      const warm = own(await startServer('bench/servers/warm.ts', reach));
      const bridge = own(await startServer('src/server.ts', { ...reach, ...asFunction }));
      const path = `/v1/connections/bench-${transport}`;
      await callJson(bridge.port, 'PUT', path, { sessionExpiryInterval: 600 });
      subjects.push(
        { contestant: 'connecting', transport, server: connecting, path: '/publish' },
        { contestant: 'warm', transport, server: warm, path: '/publish' },
        { contestant: 'bridge', transport, server: bridge, path: `${path}/publish` },
      );
    }
    const runs = CALLERS.flatMap((callers) =>
      subjects.map((subject) => ({ ...subject, callers, rounds: [] as Load[] })),
    );
    // The first round is not counted: it warms all of them up.
    for (let round = 0; round <= plan.publishRounds; round += 1) {
      progress(round === 0 ? 'function: warm-up' : `function: round ${round} of ${plan.publishRounds}`);
      for (const { server, path, callers, rounds } of round % 2 === 1 ? runs : runs.toReversed()) {
        const measured = await load(server, path, callers, plan);
        if (round > 0) rounds.push(measured);
      }
    }
    return runs.map(({ contestant, transport, callers, rounds }) => {
      const baseline = runs.find(
        (run) => run.contestant === 'connecting' && run.transport === transport && run.callers === callers,
      );
      return {
        ...{ contestant, transport, callers },
        requestsPerSecond: medianOf(rounds, (one) => one.requestsPerSecond),
        p50: medianOf(rounds, (one) => one.p50),
        p99: medianOf(rounds, (one) => one.p99),
        ratio: ratio(rounds, baseline?.rounds ?? [], (one) => one.requestsPerSecond),
      };
    });
  });
}

export function reportFunction(figures: readonly FunctionFigures[], plan: Plan): string {
  const rows = figures.map(({ contestant, transport, callers, requestsPerSecond, p50, p99, ratio: toConnecting }) => [
    `${CONTESTANTS[contestant]}, ${transport}`,
    String(callers),
    Math.round(requestsPerSecond).toLocaleString('en'),
    p50.toFixed(2),
    p99.toFixed(2),
    toConnecting.toFixed(2),
  ]);
  const conditions = `QoS 1, Redis everysec; medians of ${plan.publishRounds} rounds of ${plan.measureMs / 1000} s`;
  return `Function: ${conditions}\n\n${formatTable(['', 'at once', 'requests/s', 'p50 ms', 'p99 ms', '× (b)'], rows)}\n`;
}

export function functionTargets(figures: readonly FunctionFigures[]): Target[] {
  return figures
    .filter(({ contestant }) => contestant === 'bridge')
    .map(({ transport, callers, ratio: measured }) => ({
      what: `publish in a function, ${transport}, ${callers} at once, to (b)`,
      bound: BOUND,
      measured,
    }));
}

function load({ port, pid }: Server, path: string, callers: number, { warmUpMs, measureMs }: Plan): Promise<Load> {
  const job = { targets: [{ port, path }], pids: [pid], body: publishBody(1), warmUpMs, measureMs };
  return runLoad(job, path, callers);
}
