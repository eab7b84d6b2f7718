import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { type Key, StoreUnavailable } from '../../src/bridge/ports.ts';
import { openSqliteStore, StoreTooNew, storeOn } from '../../src/store/sqlite/index.ts';
import { openDatabase } from '../../src/store/sqlite/open.ts';
import { MIGRATIONS } from '../../src/store/sqlite/schema.ts';
import { drain, entries, filled, newMessage, newRecord, numbered, own, positionAt, ROOMY } from './store/fixtures.ts';
import { UNLIMITED } from './store/publications.ts';
import { sqlitePlaces } from './store/sqlite-place.ts';

const place = sqlitePlaces();
const { withStore } = place;

function permissions(file: string): number {
  return statSync(file).mode & 0o777;
}

describe('the store file', () => {
  it('is created with its folders, for its owner only', async () => {
    await withStore(async (store) => {
      await filled(store, ['a']);
      for (const name of readdirSync(place.folder))
        expect([name, permissions(join(place.folder, name))]).toEqual([name, 0o600]);
      expect(readdirSync(place.folder)).toContain('bridge.db');
      expect(permissions(place.folder)).toBe(0o700);
    });
  });

  it('is one file once it is closed', async () => {
    await withStore((store) => filled(store, ['a']));
    expect(readdirSync(place.folder)).toEqual(['bridge.db']);
  });

  it('that cannot be created is an error that names it', () => {
    mkdirSync(place.folder, { recursive: true });
    writeFileSync(join(place.folder, 'a-file'), '');
    const under = join(place.folder, 'a-file', 'bridge.db');
    expect(() => openSqliteStore({ path: under })).toThrow(StoreUnavailable);
    expect(() => openSqliteStore({ path: under })).toThrow(under);
    expect(() => openSqliteStore({ path: place.folder })).toThrow(StoreUnavailable);
  });
});

describe('the schema', () => {
  const LATER = [...MIGRATIONS, 'ALTER TABLE connections ADD COLUMN note TEXT; UPDATE connections SET note = id'];

  it('moves forward, after a backup that only its owner can read', async () => {
    const record = newRecord();
    await withStore((store) => store.connections.create(record));
    const database = openDatabase(place.path, LATER);
    expect(database.prepare('SELECT note FROM connections').all()).toEqual([{ note: record.id }]);
    database.close();
    const backup = readdirSync(place.folder).filter(
      (name) => name.startsWith(`bridge.db.v${MIGRATIONS.length}-`) && name.endsWith('.backup'),
    );
    expect(backup).toHaveLength(1);
    const copy = join(place.folder, backup[0] ?? '');
    expect(permissions(copy)).toBe(0o600);
    expect(() => openSqliteStore({ path: place.path })).toThrow(StoreTooNew);
    const restored = openSqliteStore({ path: copy });
    expect(await restored.connections.byId(record.id)).toEqual(record);
    await restored.close();
    openDatabase(place.path, LATER).close();
    expect(readdirSync(place.folder).filter((name) => name.endsWith('.backup'))).toHaveLength(1);
  });

  it('of the first release is brought up to date, with the exchanges that were under way', async () => {
    mkdirSync(place.folder, { recursive: true });
    const first = openDatabase(place.path, MIGRATIONS.slice(0, 1));
    first.exec("INSERT INTO exchanges VALUES (1, 'a', 9, 0, 'release', x'3400')");
    first.close();
    await withStore(async (store) => {
      const lease = await own(store, 'a' as Key);
      const [exchange] = await store.exchanges.load(lease, 0);
      expect(exchange).toMatchObject({ packetId: 9, stage: 'release', reasonCode: 0, item: null });
    });
  });

  it('of the second release is brought up to date, and what was kept counts', async () => {
    mkdirSync(place.folder, { recursive: true });
    const second = openDatabase(place.path, MIGRATIONS.slice(0, 2));
    const [now, later] = [Date.now(), Date.now() + 60_000];
    for (const id of ['p', 'q']) {
      second.exec(`INSERT INTO publications VALUES ('a', '${id}', '${id}', 'f', 0, 0, ${now}, ${later}, 60000, 0)`);
      second.exec(`INSERT INTO publication_items VALUES ('a', '${id}', 0, 'done', 'sent')`);
    }
    second.close();
    await withStore(async (store) => {
      const lease = await own(store, 'a' as Key);
      expect(await store.publications.find(lease.key, { idempotencyKey: 'q' })).toMatchObject({
        id: 'q',
        items: [{ state: 'done', outcome: 'sent' }],
      });
      const third = {
        idempotencyKey: null,
        fingerprint: 'f',
        batch: false,
        queued: false,
        retentionMs: 60_000,
        items: [],
      };
      const three = { ...UNLIMITED, publications: 3 };
      expect(await store.publications.begin(lease, { id: 'r', ...third }, three)).toBe('begun');
      expect(await store.publications.begin(lease, { id: 's', ...third }, three)).toBe('full');
    });
  });

  it('stays where it was when a step fails', async () => {
    await withStore((store) => store.connections.create(newRecord({ id: 'kept' })));
    expect(() => openDatabase(place.path, [...LATER, 'SELECT no_such_function()'])).toThrow('no_such_function');
    await withStore(async (store) => expect(await store.connections.byId('kept')).toMatchObject({ id: 'kept' }));
  });

  it('of a newer release is refused, and left as it is', async () => {
    await withStore((store) => store.ping());
    const newer = new DatabaseSync(place.path);
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    const before = readFileSync(place.path);
    expect(() => openSqliteStore({ path: place.path })).toThrow(StoreTooNew);
    expect(() => openSqliteStore({ path: place.path })).toThrow(/version 99.*versions up to \d+/);
    expect(readFileSync(place.path).equals(before)).toBe(true);
  });
});

describe('a file that is not a sound store', () => {
  it('is refused, and left as it is: garbage', () => {
    mkdirSync(place.folder, { recursive: true });
    const garbage = Buffer.alloc(20_000, 'not a database ');
    writeFileSync(place.path, garbage);
    expect(() => openSqliteStore({ path: place.path })).toThrow(StoreUnavailable);
    expect(() => openSqliteStore({ path: place.path })).toThrow(/not a database.*restore a backup/);
    expect(readFileSync(place.path).equals(garbage)).toBe(true);
  });

  it("is refused, and left as it is: another program's database", () => {
    mkdirSync(place.folder, { recursive: true });
    const other = new DatabaseSync(place.path);
    other.exec('CREATE TABLE theirs (x)');
    other.close();
    expect(() => openSqliteStore({ path: place.path })).toThrow(/another program/);
    expect(() => openSqliteStore({ path: place.path })).toThrow(StoreUnavailable);
    const again = new DatabaseSync(place.path);
    expect(again.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }]);
    again.close();
  });

  it('is an error where the damage shows, never an empty store', async () => {
    const { key } = await withStore((store) => filled(store, numbered(2_000)));
    const damaged = readFileSync(place.path).fill(0xff, 4_096);
    writeFileSync(place.path, damaged);
    await expect(withStore((store) => store.queues.read(key, null, 10))).rejects.toThrow(StoreUnavailable);
    await expect(withStore((store) => store.queues.read(key, null, 10))).rejects.toThrow('damaged');
    expect(statSync(place.path).size).toBe(damaged.length);
  });
});

describe('a full disk', () => {
  it('is an error to who writes, keeps what was stored, and is over when there is room again', async () => {
    const database = openDatabase(place.path, MIGRATIONS);
    const store = storeOn(database, place.path, Date.now);
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
      expect(await store.inbound.append(lease, 1, entries(['small']), ROOMY)).toMatchObject({ stored: 1, dropped: 0 });

      database.exec(`PRAGMA max_page_count = ${pages + 1_000}`);
      expect(await store.inbound.append(lease, 1, [large], ROOMY)).toMatchObject({ stored: 1, dropped: 0 });
      expect(await store.queues.stats(lease.key)).toMatchObject({ depth: 52, dropped: 0 });
    } finally {
      await store.close();
    }
    await withStore(async (again) => expect((await again.queues.stats((await own(again)).key)).depth).toBe(0));
  });
});

describe('a long queue', () => {
  it('is removed in pieces, counted in whole', async () => {
    await withStore(async (store) => {
      const lease = await filled(store, numbered(25_000));
      const last = positionAt(await store.queues.read(lease.key, null, 24_990), -1);
      expect(await store.queues.removeThrough(lease.key, last)).toBe(24_990);
      expect(await drain(store, lease.key)).toEqual(numbered(25_000).slice(-10));
    });
  });
});

describe('what is gone', () => {
  it('leaves no rows behind', async () => {
    const database = openDatabase(place.path, MIGRATIONS);
    const store = storeOn(database, place.path, Date.now);
    const rows = (table: string) => Number(database.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.count);
    try {
      const lease = await filled(store, []);
      await store.connections.create(newRecord({ key: lease.key }));
      await store.inbound.append(lease, 0, entries(numbered(3), 1), ROOMY);
      await store.exchanges.begin(lease, 0, [{ packetId: 1, packet: Buffer.from('packet') }]);
      const item = {
        message: { topic: 't', payload: Buffer.from('p'), qos: 1, retain: false } as const,
        outcome: null,
      };
      const members = {
        id: 'p',
        idempotencyKey: 'k',
        fingerprint: 'f',
        batch: false,
        queued: true,
        retentionMs: 60_000,
      };
      await store.publications.begin(lease, { ...members, items: [item] }, UNLIMITED);
      const tablesOfIt = ['publications', 'publication_items', 'outbox', 'outboxes', 'kept_publications'];
      expect(tablesOfIt.map(rows)).toEqual([1, 1, 1, 1, 1]);
      expect(rows('inbound_identifiers')).toBe(3);
      await store.inbound.beginGeneration(lease, {});
      expect(rows('inbound_identifiers')).toBe(0);
      await store.inbound.append(lease, 1, entries(numbered(3), 1), ROOMY);
      await store.connections.remove(lease.key);
      const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
      expect(tables.map(({ name }) => [name, rows(String(name))])).toEqual(tables.map(({ name }) => [name, 0]));
    } finally {
      await store.close();
    }
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
