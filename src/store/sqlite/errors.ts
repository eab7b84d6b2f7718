import { StoreUnavailable } from '../../bridge/ports.ts';

/** Another process (or another store of this one) has the file open. */
export class StoreInUse extends Error {
  override readonly name = 'StoreInUse';
  constructor(path: string, cause: unknown) {
    super(
      `The store file ${path} is in use by another process. One bridge at a time may open it: stop the other one, ` +
        'give this one a file of its own (STORE_URL=sqlite:OTHER_FILE), or share a Redis store between them',
      { cause },
    );
  }
}

/** The file was written by a newer release. */
export class StoreTooNew extends Error {
  override readonly name = 'StoreTooNew';
  constructor(path: string, found: number, known: number) {
    super(
      `The store file ${path} has schema version ${found}; this release knows versions up to ${known}. ` +
        'Run the release that wrote it, or restore the backup that was made beside it before it was migrated',
    );
  }
}

/** Primary result codes of SQLite, https://sqlite.org/rescode.html, and what they mean to an operator. */
const MEANINGS: Readonly<Record<number, string>> = {
  5: 'it is locked',
  7: 'there is not enough memory',
  8: 'it cannot be written to',
  10: 'reading or writing it failed',
  11: 'it is damaged; nothing in it was changed: restore a backup, or move it away to start afresh',
  13: 'the disk is full',
  14: 'it cannot be opened',
  26: 'it is not a database, or damaged; nothing in it was changed: restore a backup, or move it away to start afresh',
};
const BUSY = 5;

/** What the bridge gets to see of an error: `StoreUnavailable` for all that the database can run into. */
export function toStoreError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  // A closed database answers so.
  if (error.code === 'ERR_INVALID_STATE') return new StoreUnavailable('The store is closed', { cause: error });
  const meaning = MEANINGS[primaryCode(error)];
  if (meaning === undefined) return error;
  return new StoreUnavailable(`The store file ${path} is not available: ${meaning} (${error.message})`, {
    cause: error,
  });
}

export function isBusy(error: unknown): boolean {
  return error instanceof Error && primaryCode(error) === BUSY;
}

/** SQLite's extended codes carry the primary one in their lowest byte. */
function primaryCode(error: Error): number {
  return 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : 0;
}
