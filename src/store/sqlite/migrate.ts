import { closeSync, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { StoreUnavailable } from '../../bridge/ports.ts';
import { StoreTooNew } from './errors.ts';

/** "MHB1" in the file's header: says that the file is the bridge's. */
const APPLICATION_ID = 0x4d_48_42_31;

/** Throws `StoreTooNew`, or `StoreUnavailable` for another program's database, which must stay as it is. */
export function requireOurs(database: DatabaseSync, path: string, steps: readonly string[]): void {
  const version = pragma(database, 'user_version');
  if (version > steps.length) throw new StoreTooNew(path, version, steps.length);
  if (!isOurs(database)) {
    throw new StoreUnavailable(
      `The store file ${path} is the database of another program; give STORE_URL another file`,
    );
  }
}

/** Brings the database up to the last step, in one transaction, after a copy beside the file. The caller has it locked. */
export function migrate(database: DatabaseSync, path: string, steps: readonly string[]): void {
  const version = pragma(database, 'user_version');
  if (version === steps.length) return;
  if (version > 0) backUp(database, `${path}.v${version}-${timestamp()}.backup`);
  database.exec('BEGIN IMMEDIATE');
  try {
    for (const step of steps.slice(version)) database.exec(step);
    database.exec(`PRAGMA user_version = ${steps.length}; PRAGMA application_id = ${APPLICATION_ID}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function isOurs(database: DatabaseSync): boolean {
  const id = pragma(database, 'application_id');
  return id === APPLICATION_ID || (id === 0 && database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined);
}

function backUp(database: DatabaseSync, copy: string): void {
  // SQLite takes an empty file as the target, and would create one that others may read.
  closeSync(openSync(copy, 'wx', 0o600));
  database.prepare('VACUUM INTO ?').run(copy);
}

function pragma(database: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}

/** ISO 8601 without the characters that some file systems refuse. */
function timestamp(): string {
  return new Date().toISOString().replaceAll(/[-:.]/g, '');
}
