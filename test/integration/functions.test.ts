import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lazyInstance } from '../../src/functions/instance.ts';
import { Invocations } from '../../src/functions/invocations.ts';
import { functionUrl, httpApi, restApi, streamingUrl } from '../functions/aws-platforms.ts';
import { azure } from '../functions/azure-platform.ts';
import { googleCloud } from '../functions/google-cloud-platform.ts';
import { sendTo } from '../functions/http-sender.ts';
import { doMainJob } from '../functions/main-job.ts';
import { HOST } from '../functions/platform.ts';
import { startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { freePort } from '../helpers/ports.ts';
import { startProcess } from '../helpers/process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';

const PROJECT = join(import.meta.dirname, '../..');
/** Milliseconds: the slowest emulator bundles, and loads a framework of its own. */
const START_WITHIN = 60_000;

let broker: Mosquitto;
let redis: RedisServer;

beforeAll(async () => {
  [broker, redis] = await Promise.all([startMosquitto(), startRedis()]);
});
afterAll(() => Promise.all([broker.stop(), redis.stop()]));

const environment = (name: string) => ({
  STORE_URL: redis.url,
  STORE_PREFIX: name,
  MQTT_URL: broker.url,
  BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64'),
  LOG_LEVEL: 'silent',
});

describe('the main job through each adapter', () => {
  it.each([
    ['http-api', httpApi],
    ['function-url', functionUrl],
    ['streaming-url', streamingUrl],
    ['rest-api', restApi],
    ['google-cloud', googleCloud],
    ['azure', azure],
  ])('%s', async (name, platform) => {
    const invocations = new Invocations();
    const instance = lazyInstance(environment(name), invocations);
    const endpoint = await platform.serve({ invocations, instance, log: { error: () => {} } }, 29_000);
    try {
      await doMainJob(endpoint.send, name, HOST);
    } finally {
      await endpoint.close();
      const { app, close } = await instance();
      await app.close();
      await close();
    }
  });
});

it('the main job in a process that listens, in function mode', async () => {
  const bridge = await startBridgeProcess({
    env: { ...environment('listening'), LOG_LEVEL: 'info', BRIDGE_MODE: 'function' },
  });
  const { host, port } = new URL(bridge.url);
  await doMainJob((request) => sendTo(Number(port), request), 'listening', host);
  expect(await bridge.stop()).toMatchObject({ code: 0 });
});

describe('the main job through each emulator', () => {
  it.concurrent.each([
    ['aws', /Server ready/],
    ['google-cloud', /functions on http/],
    ['azure', /functions on http/],
  ])(
    '%s',
    async (name, ready) => {
      const port = await freePort();
      const emulator = await startProcess(process.execPath, [join(PROJECT, 'offline', `${name}.ts`)], {
        cwd: PROJECT,
        env: { ...environment(`offline-${name}`), PORT: String(port) },
      });
      await emulator.waitForOutput(ready, START_WITHIN);
      await doMainJob((request) => sendTo(port, request), `offline-${name}`, `127.0.0.1:${port}`);
      await emulator.stop();
    },
    START_WITHIN + 30_000,
  );
});
