/** npm run deploy -- --stage … --param="name=value" …: bundles the AWS functions and deploys them. */
import { join } from 'node:path';
import { runOsls } from '../offline/run-osls.ts';
import { bundleFunction } from './bundle-function.ts';

await bundleFunction('src/functions/aws.ts', join(import.meta.dirname, '../dist/aws'));
await runOsls(['deploy', ...process.argv.slice(2)]);
