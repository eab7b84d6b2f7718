import { expect, it } from 'vitest';
import { lazyInstance } from '../../../src/functions/instance.ts';
import { Invocations } from '../../../src/functions/invocations.ts';

const KEY = Buffer.alloc(32, 1).toString('base64');

/** A port of this machine that nothing listens on. */
const NOWHERE = { STORE_URL: 'redis://127.0.0.1:1', MQTT_URL: 'mqtt://127.0.0.1:1', LOG_LEVEL: 'silent' };

it('a process has one instance, whoever asks first, and it answers what needs no store before there is one', async () => {
  const instance = lazyInstance({ ...NOWHERE, BRIDGE_SECRET_KEY: KEY }, new Invocations());
  const [one, other] = await Promise.all([instance(), instance()]);
  expect(other).toBe(one);
  expect(await instance()).toBe(one);
  const headers = { host: 'localhost:8080' };
  expect((await one.app.inject({ url: '/healthz', headers })).statusCode).toBe(200);
  const list = await one.app.inject({ url: '/v1/connections', headers });
  expect([list.statusCode, list.json().type]).toEqual([503, '/problems/store-unavailable']);
  await one.app.close();
  await one.close();
});

it('it is always in function mode, so it needs Redis; one that cannot be made is tried again', async () => {
  const variables: Record<string, string> = { BRIDGE_MODE: 'gateway', LOG_LEVEL: 'silent' };
  const instance = lazyInstance(variables, new Invocations());
  await expect(instance()).rejects.toThrow(/BRIDGE_MODE is function.*set STORE_URL/);
  Object.assign(variables, NOWHERE, { BRIDGE_SECRET_KEY: KEY });
  const made = await instance();
  await made.app.close();
  await made.close();
});

it('the contract is made when it is asked for, and there is no page', async () => {
  const instance = lazyInstance({ ...NOWHERE, BRIDGE_SECRET_KEY: KEY, BRIDGE_API_KEY: 'k' }, new Invocations());
  const { app, close } = await instance();
  const headers = { authorization: 'Bearer k' };
  const contract = await app.inject({ url: '/openapi.json', headers });
  expect(Object.keys(contract.json().paths).length).toBeGreaterThan(10);
  expect((await app.inject({ url: '/docs', headers })).statusCode).toBe(404);
  await app.close();
  await close();
});
