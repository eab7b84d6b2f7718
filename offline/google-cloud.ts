/** npm run offline:gcp: the Google Cloud functions on the functions framework's own server, at HOST and PORT. */
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import { type HttpFunction, http } from '@google-cloud/functions-framework';
import { getTestServer } from '@google-cloud/functions-framework/testing';
import { bundleFunction } from '../scripts/bundle-function.ts';
import { readSettings } from './settings.ts';

const KEEPER_INTERVAL = 60_000;

const { host, port } = readSettings();
const folder = join(import.meta.dirname, '../dist/google-cloud');
await bundleFunction('src/functions/google-cloud.ts', folder);
const functions: Record<'bridge' | 'keeper', HttpFunction> = await import(join(folder, 'index.cjs'));

/** The framework's command would do the same, but listen at every address of this machine. */
function serve(name: keyof typeof functions, at: number): Promise<number> {
  http(name, functions[name]);
  const server = getTestServer(name);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, host, () => resolve((server.address() as AddressInfo).port));
  });
}

const keeperPort = await serve('keeper', 0);
process.stdout.write(`Google Cloud functions on http://${host}:${await serve('bridge', port)}\n`);

// Stands in for Cloud Scheduler.
for await (const _ of setInterval(KEEPER_INTERVAL)) await fetch(`http://${host}:${keeperPort}/`, { method: 'POST' });
