import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const OSLS = join(import.meta.dirname, 'node_modules/osls/bin/serverless.js');

/** Runs osls with these arguments in the project's folder. `npm run offline:install` installs it. */
export async function runOsls(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [OSLS, ...args], { cwd: root, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
