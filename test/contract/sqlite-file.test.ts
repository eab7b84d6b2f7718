import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { type Key, type Store, StoreUnavailable } from '../../src/bridge/ports.ts';
import { openSqliteStore, StoreInUse, StoreTooNew, storeOn } from '../../src/store/sqlite/index.ts';
import { openDatabase } from '../../src/store/sqlite/open.ts';
import { MIGRATIONS } from '../../src/store/sqlite/schema.ts';
import { startProcess } from '../helpers/process.ts';
import { drain, entries, filled, newMessage, newRecord, numbered, own, ROOMY } from './store/fixtures.ts';

const CHILD = fileURLToPath(new URL('store/sqlite-child.ts', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'bridge-sqlite-file-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folder = '';
let path = '';
beforeEach(() => {
  folder = join(mkdtempSync(join(root, 'test-')), 'data', 'deep');
  path = join(folder, 'bridge.db');
});

async function withStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
  const store = openSqliteStore({ path });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

function permissions(file: string): number {
  return statSync(file).mode & 0o777;
}

describe('the store file', () => {
  it('is created with its folders, for its owner only', async () => {
    await withStore(async (store) => {
      await filled(store, ['a']);
      for (const name of readdirSync(folder)) expect([name, permissions(join(folder, name))]).toEqual([name, 0o600]);
      expect(readdirSync(folder)).toContain('bridge.db');
      expect(permissions(folder)).toBe(0o700);
    });
  });

  it('is one file once it is closed', async () => {
    await withStore((store) => filled(store, ['a']));
    expect(readdirSync(folder)).toEqual(['bridge.db']);
  });

  it('that cannot be created is an error that names it', () => {
    writeFileSync(join(root, 'a-file'), '');
    const under = join(root, 'a-file', 'bridge.db');
    expect(() => openSqliteStore({ path: under })).toThrow(StoreUnavailable);
    expect(() => openSqliteStore({ path: under })).toThrow(under);
    expect(() => openSqliteStore({ path: root })).toThrow(StoreUnavailable);
  });
});

describe('a second process on the file', () => {
  it('is refused, with what to do, until the first one ended, however it ended', async () => {
    const child = await startProcess(process.execPath, [CHILD, path]);
    await child.waitForOutput(/^open$/m);
    expect(() => openSqliteStore({ path })).toThrow(StoreInUse);
    expect(() => openSqliteStore({ path })).toThrow(path);
    expect(() => openSqliteStore({ path })).toThrow('stop the other one');
    await child.kill();
    await withStore((store) => store.ping());
  });

  it('is refused although this one tried to open it twice', async () => {
    await withStore(async (store) => {
      expect(() => openSqliteStore({ path })).toThrow(StoreInUse);
      const child = await startProcess(process.execPath, [CHILD, path]);
      expect(await child.exited).toMatchObject({ code: 1 });
      expect(child.stderr()).toContain('StoreInUse');
      expect(await drain(store, (await filled(store, ['a'])).key)).toEqual(['a']);
    });
  });
});

describe('kill -9 while messages are appended', () => {
  it('loses none whose append was confirmed, and keeps whole groups in order', async () => {
    const keys = numbered(4, 'key-') as Key[];
    const child = await startProcess(process.execPath, [CHILD, path, ...keys]);
    await child.waitForOutput(/^key-0 200$/m);
    await child.kill();
    const confirmed = (key: Key) =>
      Math.max(...[...child.stdout().matchAll(new RegExp(`^${key} (\\d+)$`, 'gm'))].map((match) => Number(match[1])));

    await withStore(async (store) => {
      for (const key of keys) {
        const texts = await drain(store, key);
        expect(texts.length).toBeGreaterThanOrEqual(confirmed(key));
        expect(texts).toEqual(texts.map((_, index) => `${index + 1}`));
        expect(texts.length % 5).toBe(0);
        const stats = await store.queues.stats(key);
        expect(stats.depth).toBe(texts.length);
        await store.queues.removeEach(
          key,
          (await store.queues.read(key, null, 1_000)).messages.map((m) => m.position),
        );
        if (texts.length <= 1_000) expect(await store.queues.stats(key)).toEqual({ depth: 0, bytes: 0, dropped: 0 });
      }
    });
  });
});

describe('the schema', () => {
  const LATER = [...MIGRATIONS, 'ALTER TABLE connections ADD COLUMN note TEXT; UPDATE connections SET note = id'];

  it('moves forward, after a backup that only its owner can read', async () => {
    const record = newRecord();
    await withStore((store) => store.connections.create(record));
    const database = openDatabase(path, LATER);
    expect(database.prepare('SELECT note FROM connections').all()).toEqual([{ note: record.id }]);
    database.close();
    const backup = readdirSync(folder).filter((name) => name.startsWith('bridge.db.v1-') && name.endsWith('.backup'));
    expect(backup).toHaveLength(1);
    const copy = join(folder, backup[0] ?? '');
    expect(permissions(copy)).toBe(0o600);
    expect(() => openSqliteStore({ path })).toThrow(StoreTooNew);
    const restored = openSqliteStore({ path: copy });
    expect(await restored.connections.byId(record.id)).toEqual(record);
    await restored.close();
    openDatabase(path, LATER).close();
    expect(readdirSync(folder).filter((name) => name.endsWith('.backup'))).toHaveLength(1);
  });

  it('stays where it was when a step fails', async () => {
    await withStore((store) => store.connections.create(newRecord({ id: 'kept' })));
    expect(() => openDatabase(path, [...LATER, 'SELECT no_such_function()'])).toThrow('no_such_function');
    await withStore(async (store) => expect(await store.connections.byId('kept')).toMatchObject({ id: 'kept' }));
  });

  it('of a newer release is refused, and left as it is', async () => {
    await withStore((store) => store.ping());
    const newer = new DatabaseSync(path);
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    const before = readFileSync(path);
    expect(() => openSqliteStore({ path })).toThrow(StoreTooNew);
    expect(() => openSqliteStore({ path })).toThrow(/version 99.*versions up to \d+/);
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

describe('a file that is not a sound store', () => {
  it('is refused, and left as it is: garbage', () => {
    mkdirSync(folder, { recursive: true });
    const garbage = Buffer.alloc(20_000, 'not a database ');
    writeFileSync(path, garbage);
    expect(() => openSqliteStore({ path })).toThrow(StoreUnavailable);
    expect(() => openSqliteStore({ path })).toThrow(/not a database.*restore a backup/);
    expect(readFileSync(path).equals(garbage)).toBe(true);
  });

  it("is refused, and left as it is: another program's database", () => {
    mkdirSync(folder, { recursive: true });
    const other = new DatabaseSync(path);
    other.exec('CREATE TABLE theirs (x)');
    other.close();
    expect(() => openSqliteStore({ path })).toThrow(/another program/);
    expect(() => openSqliteStore({ path })).toThrow(StoreUnavailable);
    const again = new DatabaseSync(path);
    expect(again.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }]);
    again.close();
  });

  it('is an error where the damage shows, never an empty store', async () => {
    const { key } = await withStore((store) => filled(store, numbered(2_000)));
    const damaged = readFileSync(path).fill(0xff, 4_096);
    writeFileSync(path, damaged);
    await expect(withStore((store) => store.queues.read(key, null, 10))).rejects.toThrow(StoreUnavailable);
    await expect(withStore((store) => store.queues.read(key, null, 10))).rejects.toThrow('damaged');
    expect(statSync(path).size).toBe(damaged.length);
  });
});

describe('a full disk', () => {
  it('is an error to who writes, keeps what was stored, and is over when there is room again', async () => {
    const database = openDatabase(path, MIGRATIONS);
    const store = storeOn(database, path, Date.now);
    try {
      const lease = await filled(store, numbered(50));
      const before = await store.queues.stats(lease.key);
      const pages = Number(database.prepare('PRAGMA page_count').get()?.page_count);
      database.exec(`PRAGMA max_page_count = ${pages + 4}`);

      const large = {
        kind: 'message',
        message: newMessage('', { payload: Buffer.alloc(500_000) }),
        packetId: 1,
      } as const;
      await expect(store.inbound.append(lease, 1, [large], ROOMY)).rejects.toThrow(StoreUnavailable);
      await expect(store.inbound.append(lease, 1, [large], ROOMY)).rejects.toThrow('the disk is full');
      expect(await store.queues.stats(lease.key)).toEqual(before);
      expect(await drain(store, lease.key)).toEqual(numbered(50));
      expect(await store.inbound.append(lease, 1, entries(['small']), ROOMY)).toEqual({ stored: 1, dropped: 0 });

      database.exec(`PRAGMA max_page_count = ${pages + 1_000}`);
      expect(await store.inbound.append(lease, 1, [large], ROOMY)).toEqual({ stored: 1, dropped: 0 });
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 52, dropped: 0 });
    } finally {
      await store.close();
    }
    await withStore(async (again) => expect((await again.queues.stats((await own(again)).key)).depth).toBe(0));
  });
});

describe('a page of large messages', () => {
  it('ends early rather than fill the memory, and says what remains', async () => {
    await withStore(async (store) => {
      const lease = await own(store);
      const megabyte = { kind: 'message', message: newMessage('', { payload: Buffer.alloc(1_048_576) }) } as const;
      await store.inbound.append(lease, 1, Array(12).fill(megabyte), ROOMY);
      const page = await store.queues.read(lease.key, null, 1_000);
      expect(page.messages).toHaveLength(8);
      expect(page.remaining).toBe(4);
    });
  });
});
