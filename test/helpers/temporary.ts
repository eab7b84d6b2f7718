import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd } from './at-end.ts';

/** A new empty directory under the system's temporary one, removed when this process ends. */
export function temporaryDirectory(purpose: string): string {
  const directory = mkdtempSync(join(tmpdir(), `bridge-test-${purpose}-`));
  // A program that was just killed may still be writing into it.
  atEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}
