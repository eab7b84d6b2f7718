import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildGateway } from '../helpers/built-gateway.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { freePort } from '../helpers/ports.ts';
import { startProcess } from '../helpers/process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

let broker: Mosquitto;
let redis: RedisServer;

beforeAll(async () => {
  [broker, redis] = await Promise.all([startMosquitto(), startRedis()]);
});
afterAll(() => Promise.all([broker.stop(), redis.stop()]));

it('the production bundle needs nothing but Node: it serves from a folder of its own, on either store', async () => {
  const folder = temporaryDirectory('bundle');
  const program = await buildGateway(folder);
  for (const store of ['sqlite:./bridge.db', redis.url]) {
    const port = await freePort();
    const bridge = await startProcess(process.execPath, [program], {
      cwd: folder,
      env: {
        PORT: String(port),
        STORE_URL: store,
        MQTT_URL: broker.url,
        BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64'),
      },
    });
    await bridge.waitForOutput(/"msg":"listening"/);
    const base = `http://127.0.0.1:${port}`;
    const put = await fetch(`${base}/v1/topics/built`, { method: 'PUT', body: store });
    expect(put.status).toBe(200);
    expect(await (await fetch(`${base}/v1/topics/built`)).text()).toBe(store);
    const declared = await fetch(`${base}/v1/connections/built`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ subscriptions: [{ filter: 'built', qos: 1 }] }),
    });
    expect(await declared.json()).toMatchObject({ state: 'online' });
    const page = await fetch(`${base}/v1/connections/built/messages?wait=5`);
    expect(await page.json()).toMatchObject({ messages: [{ topic: 'built', payload: store }] });
    expect((await fetch(`${base}/docs`)).status).toBe(200);
    expect(await bridge.stop()).toMatchObject({ code: 0 });
  }
});
