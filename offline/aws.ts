/** npm run offline: the AWS functions on serverless-offline, at HOST and PORT. */
import { join } from 'node:path';
import { bundleFunction } from '../scripts/bundle-function.ts';
import { runOsls } from './run-osls.ts';
import { readSettings } from './settings.ts';

const { host, port } = readSettings();
await bundleFunction('src/functions/aws.ts', join(import.meta.dirname, '../dist/aws'));
await runOsls([
  ...['offline', 'start', '--config', 'serverless.offline.cjs'],
  ...['--host', host, '--httpPort', String(port), '--lambdaPort', '0'],
]);
