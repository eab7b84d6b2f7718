import { describe, expect, it, vi } from 'vitest';
import type { Connection } from '../../../src/bridge/connection/connection.ts';
import { Documents } from '../../../src/bridge/documents.ts';
import type { Pool } from '../../../src/bridge/pool.ts';
import { Records } from '../../../src/bridge/records.ts';
import { createSecretBox } from '../../../src/bridge/secret-box.ts';
import { Problem } from '../../../src/errors/problem.ts';
import { valid } from '../../helpers/bridge.ts';

/** Changes a record while the live Connection follows, or fails to. */
async function changeWhile(update: Connection['update']) {
  const documents = new Documents(createSecretBox([Buffer.alloc(32, 7)]));
  const { parameters } = valid({ id: 'a' });
  const record = documents.create({ ...parameters, id: 'a' }, { assigned: false, provisional: false });
  const settle = vi.fn(async () => undefined);
  const connection: Pick<Connection, 'own' | 'settle' | 'update'> = { own: async () => undefined, settle, update };
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const records = new Records(
    { byId: async () => record, update: async () => 'updated' },
    documents,
    { obtain: async () => connection } as unknown as Pool,
    log,
  );
  const changed = await records.change(record, (before) => ({ ...before, keepAlive: 7 }));
  return { changed, log, settle };
}

describe('a stored change that the live Connection does not follow', () => {
  it('because of the broker: the state tells', async () => {
    const { changed, log, settle } = await changeWhile(async () => {
      throw new Problem('broker-refused');
    });
    expect(changed.parameters).toMatchObject({ keepAlive: 7 });
    expect(log.error).not.toHaveBeenCalled();
    expect(settle).toHaveBeenCalledOnce();
  });

  it('because of a fault in here: the log tells', async () => {
    const err = new TypeError('a bug');
    const { log, settle } = await changeWhile(async () => {
      throw err;
    });
    expect(log.error).toHaveBeenCalledWith(expect.objectContaining({ err }), expect.any(String));
    expect(settle).toHaveBeenCalledOnce();
  });
});
