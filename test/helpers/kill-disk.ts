/**
 * Preloaded into a bridge process (`FULL_DISK`), this makes its disk full by a signal, and gives it room again by the
 * next one: to SQLite a file that may not grow (`max_page_count`) is a full disk, and needs no privileges.
 */
import { DatabaseSync } from 'node:sqlite';

const NO_LIMIT = 0xfffffffe;
const databases = new Set<DatabaseSync>();
const exec = DatabaseSync.prototype.exec;
DatabaseSync.prototype.exec = function (sql: string) {
  databases.add(this);
  return exec.call(this, sql);
};

let full = false;
process.on('SIGUSR2', () => {
  full = !full;
  for (const database of databases) {
    // SQLite itself does not go below the pages that there are.
    if (database.isOpen) database.exec(`PRAGMA max_page_count = ${full ? 1 : NO_LIMIT}`);
  }
});
