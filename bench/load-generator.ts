/**
 * A closed loop of requests, in a process of its own: a fixed number of connections, each with one request in flight.
 * The job comes as JSON in the first argument; what was measured goes as JSON to standard output.
 */
import { cpuSeconds } from './cpu-time.ts';
import { encodePost, RawHttpClient } from './raw-http-client.ts';
import { percentile } from './statistics.ts';

export interface Job {
  /** The first connection sends all its requests to the first, and so on, in turn. */
  readonly targets: readonly { readonly port: number; readonly path: string }[];
  /** Of the processes whose CPU time is wanted. */
  readonly pids: readonly number[];
  readonly body: string;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Load {
  readonly requestsPerSecond: number;
  /** Milliseconds, of every request. */
  readonly p50: number;
  readonly p99: number;
  /** Seconds that each of the processes spent per 1,000 requests. */
  readonly cpuPer1000: readonly number[];
}

async function measure({ targets, pids, body, connections, warmUpMs, measureMs }: Job): Promise<Load> {
  const requests = targets.map(({ port, path }) => ({ port, bytes: encodePost(port, path, body) }));
  const requestOf = (index: number) => requests[index % requests.length] ?? { port: 0, bytes: Buffer.alloc(0) };
  const cpuTimes = () => pids.map(cpuSeconds);
  const sentAt = new Float64Array(connections);
  let latencies: number[] = [];
  let running = true;
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();

  const clients = await Promise.all(
    Array.from({ length: connections }, (_, index) =>
      RawHttpClient.open(requestOf(index).port, (failure) => {
        if (failure !== null) return fail(new Error(failure));
        const now = performance.now();
        latencies.push(now - (sentAt[index] ?? 0));
        if (running) send(index, now);
      }),
    ),
  );
  const send = (index: number, now: number) => {
    sentAt[index] = now;
    clients[index]?.send(requestOf(index).bytes);
  };
  const pass = (milliseconds: number) =>
    Promise.race([failed, new Promise<void>((resolve) => setTimeout(resolve, milliseconds))]);

  for (const index of clients.keys()) send(index, performance.now());
  await pass(warmUpMs);
  latencies = [];
  const [startedAt, cpuBefore] = [performance.now(), cpuTimes()];
  await pass(measureMs);
  const [seconds, cpuAfter] = [(performance.now() - startedAt) / 1000, cpuTimes()];
  running = false;
  const sorted = Float64Array.from(latencies).sort();
  for (const client of clients) client.close();
  if (sorted.length === 0) throw new Error('no request was answered');
  return {
    requestsPerSecond: sorted.length / seconds,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    cpuPer1000: cpuAfter.map((cpu, index) => ((cpu - (cpuBefore[index] ?? cpu)) / sorted.length) * 1000),
  };
}

const job: Job = JSON.parse(process.argv[2] ?? '');
process.stdout.write(JSON.stringify(await measure(job)));
