import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach } from 'vitest';
import type { Store } from '../../../src/bridge/ports.ts';
import { openSqliteStore } from '../../../src/store/sqlite/index.ts';

export interface SqlitePlace {
  /** The store file of the running test; neither it nor its folder exists when the test begins. */
  readonly path: string;
  readonly folder: string;
  /** Opens the file for the time of `work`. */
  withStore<T>(work: (store: Store) => Promise<T>): Promise<T>;
}

/** Gives each test of the file that calls it a place of its own, and cleans up after the last. */
export function sqlitePlaces(): SqlitePlace {
  const root = mkdtempSync(join(tmpdir(), 'bridge-sqlite-'));
  let path = '';
  beforeEach(() => {
    path = join(mkdtempSync(join(root, 'test-')), 'data', 'deep', 'bridge.db');
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  return {
    get path() {
      return path;
    },
    get folder() {
      return dirname(path);
    },
    async withStore(work) {
      const store = openSqliteStore({ path });
      try {
        return await work(store);
      } finally {
        await store.close();
      }
    },
  };
}
