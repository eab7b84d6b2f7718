import { readFileSync } from 'node:fs';
import { type Config, ConfigError, loadConfig } from '../src/config.ts';

/** Where an emulator listens, from the environment. Ends the process when the functions could not start with it. */
export function readSettings(): Pick<Config, 'host' | 'port'> {
  try {
    return loadConfig({ ...process.env, BRIDGE_MODE: 'function' }, (path) => readFileSync(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(
      `The functions would not start.\n${error.faults.map((sentence) => `- ${sentence}\n`).join('')}`,
    );
    process.exit(78);
  }
}
