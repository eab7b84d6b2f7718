/** npm run offline:azure: the Azure functions on a small host of our own, at HOST and PORT. */
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import { bundleFunction } from '../scripts/bundle-function.ts';
import { startAzureHost } from './azure-host.ts';
import { readSettings } from './settings.ts';

const KEEPER_INTERVAL = 60_000;

const settings = readSettings();
const folder = join(import.meta.dirname, '../dist/azure');
await bundleFunction('src/functions/azure.ts', folder);
const azure = await startAzureHost(() => import(join(folder, 'index.cjs')), settings);
process.stdout.write(`Azure functions on http://${settings.host}:${azure.port}\n`);

for await (const _ of setInterval(KEEPER_INTERVAL)) await azure.runTimer('keeper');
