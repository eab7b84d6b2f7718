import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Store } from '../../src/bridge/ports.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { describeStore } from './store-suite.ts';

const folder = mkdtempSync(join(tmpdir(), 'bridge-sqlite-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A clock that runs, and can be moved forward. */
function movableClock() {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    advanceTime: (ms: number) => {
      offset += ms;
    },
  };
}

const { now, advanceTime } = movableClock();
const paths = new Map<Store, string>();
let files = 0;

function openFile(path: string): Store {
  const store = openSqliteStore({ path, now });
  paths.set(store, path);
  return store;
}

describeStore('the embedded store, on a file', {
  open: () => openFile(join(folder, `suite-${files++}`, 'bridge.db')),
  reopen: (closed) => openFile(paths.get(closed) ?? ''),
  advanceTime,
});

describeStore('the embedded store, in memory', {
  open: () => openSqliteStore({ path: ':memory:', now }),
  advanceTime,
});
