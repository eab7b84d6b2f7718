import { expect, test } from 'vitest';
import { createKeyCheck } from '../../../src/auth/api-key.ts';
import { siteFault } from '../../../src/auth/same-site.ts';

test('a key is accepted as a bearer only, and as a whole', () => {
  const check = createKeyCheck('key');
  expect(check('Bearer key')).toBe(true);
  expect(check('BEARER key')).toBe(true);
  for (const header of [undefined, '', 'key', 'Bearer', 'Bearer ke', 'Bearer keys', 'Bearer KEY', 'Basic key']) {
    expect(check(header), header).toBe(false);
  }
});

test('the listen address is one’s own name too', () => {
  const ask = (host: string, listen: string) => siteFault({ host, origin: undefined, port: 80 }, listen);
  expect(ask('bridge.localhost:80', 'bridge.localhost')).toBeNull();
  expect(ask('bridge.localhost:80', '127.0.0.1')).not.toBeNull();
});

test('the origin is compared as a whole, default ports included', () => {
  const ask = (origin: string, host = 'localhost') => siteFault({ host, origin, port: 80 }, '127.0.0.1');
  expect(ask('http://localhost')).toBeNull();
  expect(ask('http://localhost:80')).toBeNull();
  expect(ask('http://localhost', 'localhost:80')).toBeNull();
  expect(ask('http://localhost:81')).not.toBeNull();
  expect(ask('http://127.0.0.1')).not.toBeNull();
});
