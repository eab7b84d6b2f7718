import { join } from 'node:path';
import { startProcess } from '../test/helpers/process.ts';
import type { Job, Load } from './load-generator.ts';

/** Concurrent callers, each with one request at a time. */
export const CONNECTIONS = 64;
export const PAYLOAD_BYTES = 100;
/** Milliseconds beyond its own time after which a load is given up. */
const GRACE = 10_000;

/** The body of a publish. */
export function publishBody(qos: 0 | 1 | 2): string {
  return JSON.stringify({ topic: 'bench/out', payload: 'x'.repeat(PAYLOAD_BYTES), qos });
}

/** Runs a load in a process of its own. Rejects when a single request was not answered with 2xx. */
export async function runLoad(
  job: Omit<Job, 'connections'>,
  name: string,
  connections: number = CONNECTIONS,
): Promise<Load> {
  const script = join(import.meta.dirname, 'load-generator.ts');
  const argument = JSON.stringify({ ...job, connections } satisfies Job);
  const generator = await startProcess(process.execPath, [script, argument]);
  const deadline = setTimeout(() => generator.signal('SIGKILL'), job.warmUpMs + job.measureMs + GRACE);
  const { code } = await generator.exited;
  clearTimeout(deadline);
  if (code !== 0) throw new Error(`${name}: the load failed:\n${generator.output()}`);
  return JSON.parse(generator.stdout());
}
