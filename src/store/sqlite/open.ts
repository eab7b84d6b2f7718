import { accessSync, closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreUnavailable } from '../../bridge/ports.ts';
import { isBusy, StoreInUse, toStoreError } from './errors.ts';
import { migrate, requireOurs } from './migrate.ts';

export const IN_MEMORY = ':memory:';

/**
 * Opens and locks the file, created with its folders when missing, and brings it to the schema that `steps` lead to.
 * Throws `StoreInUse`, `StoreTooNew` or `StoreUnavailable`; a file that cannot be used is left as it is.
 */
export function openDatabase(path: string, steps: readonly string[]): DatabaseSync {
  try {
    if (path !== IN_MEMORY) createFile(path);
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE');
      requireOurs(database, path, steps);
      configure(database);
      migrate(database, path, steps);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw isBusy(error) ? new StoreInUse(path, error) : toStoreError(error, path);
  }
}

/**
 * Changes the file's format. From here on the lock is exclusive, and it is kept until the file is closed or the process
 * ends, however it ends.
 */
function configure(database: DatabaseSync): void {
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16000;
    PRAGMA journal_size_limit = 67108864;
  `);
}

/**
 * Readable by the owner only: it holds credentials and messages. A file that exists is not touched: opening and closing
 * it here would drop the POSIX locks that this process may hold on it.
 */
function createFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, 'wx', 0o600));
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) {
      throw new StoreUnavailable(`The store file ${path} cannot be created (${String(cause)})`, { cause });
    }
    requireAccess(path);
  }
}

/** SQLite calls it a disk I/O error. */
function requireAccess(path: string): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new StoreUnavailable(`The store file ${path} may not be read and written by this user (${String(cause)})`, {
      cause,
    });
  }
}
