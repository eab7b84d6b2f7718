import { symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { once } from '../../src/once.ts';
import { startProcess } from './process.ts';
import { temporaryDirectory } from './temporary.ts';

const PROJECT = resolve(import.meta.dirname, '../..');

/** Builds the gateway into a folder, which is emptied first; answers its program. */
export async function buildGateway(folder: string): Promise<string> {
  const build = await startProcess(process.execPath, [join(PROJECT, 'scripts/build.mjs'), folder]);
  if ((await build.exited).code !== 0) throw new Error(`the gateway cannot be built: ${build.output()}`);
  return join(folder, 'server.js');
}

/** The program as it is deployed, with the optional package beside it: hundreds are started, in half the time of the source. */
export const builtGateway: () => Promise<string> = once(() => {
  const folder = temporaryDirectory('gateway');
  symlinkSync(join(PROJECT, 'quic'), join(folder, 'quic'));
  return buildGateway(join(folder, 'dist'));
});
