import { describe, expect, test } from 'vitest';
import { appWith, VIEW } from './fixture.ts';

const ready = { ready: true, store: { ok: true }, broker: { ok: true } };
const bridge = { getConnection: async () => VIEW, readiness: async () => ready };

describe('with BRIDGE_API_KEY', () => {
  const get = async (url: string, headers: Record<string, string>) =>
    (await appWith(bridge, { apiKey: 'right' })).inject({ url, headers });

  test('the key opens, from any host; no key, a wrong one and another scheme do not', async () => {
    const url = '/v1/connections/a';
    expect((await get(url, { host: 'bridge.example.com', authorization: 'Bearer right' })).statusCode).toBe(200);
    expect((await get(url, { authorization: 'bearer right' })).statusCode).toBe(200);
    for (const authorization of ['Bearer wrong', 'Bearer right2', 'Bearer ', 'Basic right', 'right']) {
      const refused = await get(url, { authorization });
      expect(refused.statusCode, authorization).toBe(401);
      expect(refused.headers['www-authenticate']).toBe('Bearer');
      expect(refused.json().type).toBe('/problems/unauthorized');
    }
    expect((await get(url, {})).statusCode).toBe(401);
  });

  test('only liveness and readiness are open', async () => {
    expect((await get('/healthz', {})).statusCode).toBe(200);
    expect((await get('/readyz', {})).json()).toEqual(ready);
    for (const url of ['/openapi.json', '/docs/', '/v1/topics/a', '/nowhere']) {
      expect((await get(url, {})).statusCode, url).toBe(401);
    }
  });
});

describe('without callers', () => {
  const get = async (headers: Record<string, string>) =>
    (await (await appWith(bridge)).inject({ url: '/v1/connections/a', headers })).statusCode;

  test('only this machine’s own names are answered', async () => {
    for (const host of [
      'localhost:8080',
      'LOCALHOST:8080',
      '127.0.0.1:8080',
      '127.9.9.9:8080',
      '[::1]:8080',
      'localhost',
    ]) {
      expect(await get({ host }), host).toBe(200);
    }
    for (const host of [
      'evil.example:8080',
      'localhost.evil.example:8080',
      '127.0.0.1.evil.example',
      'localhost:80',
      'a@localhost:8080',
      '',
    ]) {
      expect(await get({ host }), host).toBe(403);
    }
  });

  test('only pages of the bridge itself may ask', async () => {
    const host = 'localhost:8080';
    expect(await get({ host, origin: 'http://localhost:8080' })).toBe(200);
    for (const origin of [
      'http://evil.example',
      'http://localhost:3000',
      'null',
      'http://localhost:8080.evil.example',
    ]) {
      expect(await get({ host, origin }), origin).toBe(403);
    }
  });
});
