import { afterEach, expect, it, vi } from 'vitest';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { until } from '../helpers/until.ts';

vi.mock(import('../../src/bridge/transports/quic-package.ts'), async (importOriginal) => {
  const original = await importOriginal();
  return {
    ...original,
    loadQuiche: () => {
      throw new original.QuicNotAvailable('the test says so');
    },
  };
});

let bridge: TestBridge | undefined;
afterEach(() => bridge?.end());

it('a Connection that was stored while the optional package was there says what is missing, after a start too', async () => {
  const store = await openSqliteStore({ path: ':memory:' });
  const missing = { state: 'offline', reason: { code: 'broker-unreachable', detail: 'the test says so' } };
  const before = await createTestBridge({ url: 'mqtt://127.0.0.1:9', store });
  const opened = await before.declareConnection('q', valid({ id: 'q', url: 'quic://127.0.0.1:9' }));
  expect(opened.connection).toMatchObject(missing);
  await before.stop();

  bridge = await createTestBridge({ url: 'mqtt://127.0.0.1:9', store });
  const started = bridge;
  await started.start();
  await until(async () => (await started.getConnection('q')).owner === 'test', { what: 'an attempt' });
  await until(async () => (await started.getConnection('q')).state === 'offline', { what: 'offline' });
  expect(await started.getConnection('q')).toMatchObject(missing);
  expect(await started.deleteConnection('q', { session: 'discard', will: null })).toBe('deleted');
});
