/**
 * A closed loop of requests, in a process of its own: a fixed number of connections, each with one request in flight.
 * The job comes as JSON in the first argument; what was measured goes as JSON to standard output.
 */
import { cpuSeconds } from './cpu-time.ts';
import { encodePost, RawHttpClient } from './raw-http-client.ts';
import { percentile } from './statistics.ts';

export interface Job {
  readonly port: number;
  /** The server's, for its CPU time. */
  readonly pid: number;
  readonly path: string;
  readonly body: string;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Measured {
  readonly requestsPerSecond: number;
  /** Milliseconds, of every request. */
  readonly p50: number;
  readonly p99: number;
  /** Seconds that the server's process spent per 1,000 requests. */
  readonly cpuPer1000: number;
}

async function measure({ port, pid, path, body, connections, warmUpMs, measureMs }: Job): Promise<Measured> {
  const request = encodePost(port, path, body);
  const sentAt = new Float64Array(connections);
  let latencies: number[] = [];
  let running = true;
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();

  const clients = await Promise.all(
    Array.from({ length: connections }, (_, index) =>
      RawHttpClient.open(port, (failure) => {
        if (failure !== null) return fail(new Error(failure));
        const now = performance.now();
        latencies.push(now - (sentAt[index] ?? 0));
        if (running) send(index, now);
      }),
    ),
  );
  const send = (index: number, now: number) => {
    sentAt[index] = now;
    clients[index]?.send(request);
  };
  const pass = (milliseconds: number) =>
    Promise.race([failed, new Promise<void>((resolve) => setTimeout(resolve, milliseconds))]);

  for (const index of clients.keys()) send(index, performance.now());
  await pass(warmUpMs);
  latencies = [];
  const [startedAt, cpuBefore] = [performance.now(), cpuSeconds(pid)];
  await pass(measureMs);
  const [seconds, cpu] = [(performance.now() - startedAt) / 1000, cpuSeconds(pid) - cpuBefore];
  running = false;
  const sorted = Float64Array.from(latencies).sort();
  for (const client of clients) client.close();
  if (sorted.length === 0) throw new Error('no request was answered');
  return {
    requestsPerSecond: sorted.length / seconds,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    cpuPer1000: (cpu / sorted.length) * 1000,
  };
}

const job: Job = JSON.parse(process.argv[2] ?? '');
process.stdout.write(JSON.stringify(await measure(job)));
