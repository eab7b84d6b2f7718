import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { imageEnvironment, readCompose } from '../helpers/deployment.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { startProcess } from '../helpers/process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const HEALTHCHECK = fileURLToPath(new URL('../../deploy/healthcheck.mjs', import.meta.url));
const KEYS = { BRIDGE_API_KEY: 'key', BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64') };

let broker: Mosquitto;
let redis: RedisServer;
let bridge: BridgeProcess;

/** A bridge of docker-compose.yml in the image's environment, with these servers, on loopback. */
beforeAll(async () => {
  const { services } = readCompose(KEYS);
  const settings = [services.redis?.command ?? []]
    .flat()
    .flatMap((argument) => argument.split(' '))
    .slice(1);
  [broker, redis] = await Promise.all([startMosquitto(), startRedis({ arguments: settings })]);
  const { PORT: _, ...image } = imageEnvironment();
  const own = services['bridge-1']?.environment;
  bridge = await startBridgeProcess({
    env: { ...image, ...own, HOST: '127.0.0.1', STORE_URL: redis.url, MQTT_URL: broker.url },
  });
});
afterAll(async () => {
  await bridge.stop();
  await Promise.all([broker.stop(), redis.stop()]);
});

const checkHealth = async () => {
  const check = await startProcess(process.execPath, [HEALTHCHECK], { env: { PORT: new URL(bridge.url).port } });
  return (await check.exited).code;
};

test('a bridge of docker-compose.yml is ready, has nothing to say against its Redis, and ends in time', async () => {
  const isReady = async () => (await bridge.request('GET', '/readyz')).status === 200;
  await until(isReady, { what: 'it is ready' });
  expect(bridge.output()).not.toContain('"level":40');
  expect(readFileSync(`/proc/${bridge.pid}/environ`, 'latin1')).toContain('NODE_ID=bridge-1\0');
  expect(await checkHealth()).toBe(0);
  expect(await bridge.stop()).toMatchObject({ code: 0 });
  expect(await checkHealth()).toBe(1);
});
