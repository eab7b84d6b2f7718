/**
 * npm run package: what each platform takes, without an account. dist/aws-package: CloudFormation and the archive, by osls.
 * dist/google-cloud and dist/azure: folders, as their own commands deploy them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOsls } from '../offline/run-osls.ts';
import { FUNCTION_TIMEOUT } from '../src/functions/azure/timeouts.ts';
import { bundleFunction, type Outputs } from './bundle-function.ts';

const root = join(import.meta.dirname, '..');
const { version, license, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** https://learn.microsoft.com/azure/azure-functions/functions-host-json */
const HOST = {
  version: '2.0',
  // The paths are the API's own.
  extensions: { http: { routePrefix: '' } },
  functionTimeout: new Date(FUNCTION_TIMEOUT).toISOString().slice(11, 19),
};

function bundle(platform: string): Promise<Outputs> {
  return bundleFunction(`src/functions/${platform}.ts`, join(root, 'dist', platform));
}

function write(path: string, content: object): void {
  writeFileSync(join(root, 'dist', path), `${JSON.stringify(content, null, 2)}\n`);
}

const bundles = await Promise.all(['aws', 'google-cloud', 'azure'].map(bundle));
const manifest = { name: 'mqtt-http-bridge', version, license, private: true, main: 'index.cjs' };
const framework = '@google-cloud/functions-framework';
write('google-cloud/package.json', {
  ...manifest,
  engines: { node: '>=24' },
  dependencies: { [framework]: devDependencies[framework] },
});
write('azure/package.json', manifest);
write('azure/host.json', HOST);

for (const [file, { bytes }] of bundles.flatMap((outputs) => Object.entries(outputs))) {
  process.stdout.write(`${file} ${(bytes / 1024).toFixed(0)} KiB\n`);
}
await runOsls(['package', '--package', 'dist/aws-package']);
