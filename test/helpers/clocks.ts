import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from './bridge-process.ts';
import { temporaryDirectory } from './temporary.ts';

const PRELOAD = join(import.meta.dirname, 'clock-preload.ts');

/** Wall clocks of bridges that a test can set. */
export interface Clocks {
  /** Of the bridges. */
  readonly env: Environment;
  /** Has the wall clock of the bridge with that NODE_ID be off by so many milliseconds from now on. */
  set(nodeId: string, offsetMs: number): void;
}

export function startClocks(): Clocks {
  const file = join(temporaryDirectory('clocks'), 'offsets.json');
  const offsets: Record<string, number> = {};
  // Whoever reads it meanwhile finds the one or the other.
  const write = () => {
    writeFileSync(`${file}.new`, JSON.stringify(offsets));
    renameSync(`${file}.new`, file);
  };
  write();
  return {
    env: { CLOCK_OFFSETS: file, NODE_OPTIONS: `--import=${PRELOAD}` },
    set(nodeId, offsetMs) {
      offsets[nodeId] = offsetMs;
      write();
    },
  };
}
