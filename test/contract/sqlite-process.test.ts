import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Key } from '../../src/bridge/ports.ts';
import { openSqliteStore, StoreInUse } from '../../src/store/sqlite/index.ts';
import { LAST_POSITION } from '../../src/store/sqlite/queues.ts';
import { startProcess } from '../helpers/process.ts';
import { drain, filled, numbered } from './store/fixtures.ts';
import { sqlitePlaces } from './store/sqlite-place.ts';

const CHILD = fileURLToPath(new URL('store/sqlite-child.ts', import.meta.url));
const place = sqlitePlaces();

describe('a second process on the file', () => {
  it('is refused, with what to do, until the first one ended, however it ended', async () => {
    const child = await startProcess(process.execPath, [CHILD, place.path]);
    await child.waitForOutput(/^open$/m);
    expect(() => openSqliteStore({ path: place.path })).toThrow(StoreInUse);
    expect(() => openSqliteStore({ path: place.path })).toThrow(place.path);
    expect(() => openSqliteStore({ path: place.path })).toThrow('stop the other one');
    await child.kill();
    await place.withStore((store) => store.ping());
  });

  it('is refused although this one tried to open it twice', async () => {
    await place.withStore(async (store) => {
      expect(() => openSqliteStore({ path: place.path })).toThrow(StoreInUse);
      const child = await startProcess(process.execPath, [CHILD, place.path]);
      expect(await child.exited).toMatchObject({ code: 1 });
      expect(child.stderr()).toContain('StoreInUse');
      expect(await drain(store, (await filled(store, ['a'])).key)).toEqual(['a']);
    });
  });
});

describe('kill -9 while messages are appended', () => {
  it('loses none whose append was confirmed, and keeps whole groups in order', async () => {
    const keys = numbered(4, 'key-') as Key[];
    const child = await startProcess(process.execPath, [CHILD, place.path, ...keys]);
    await child.waitForOutput(/^key-0 200$/m);
    await child.kill();
    const confirmed = (key: Key) =>
      Math.max(...[...child.stdout().matchAll(new RegExp(`^${key} (\\d+)$`, 'gm'))].map((match) => Number(match[1])));

    await place.withStore(async (store) => {
      for (const key of keys) {
        const texts = await drain(store, key);
        expect(texts.length).toBeGreaterThanOrEqual(confirmed(key));
        expect(texts).toEqual(texts.map((_, index) => `${index + 1}`));
        expect(texts.length % 5).toBe(0);
        const stats = await store.queues.stats(key);
        expect(stats.depth).toBe(texts.length);
        expect(await store.queues.removeThrough(key, LAST_POSITION)).toBe(texts.length);
        expect(await store.queues.stats(key)).toEqual({ depth: 0, bytes: 0, dropped: 0 });
      }
    });
  });
});
