import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Listener, type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { freePort } from '../helpers/ports.ts';
import { startProcess } from '../helpers/process.ts';

let certificates: Certificates;
let broker: Mosquitto;
let bridge: BridgeProcess;
let proxy: Server;
let proxyEnvironment: Record<string, string>;
/** How often somebody connected to the proxy. */
let visits = 0;

beforeAll(async () => {
  certificates = await createCertificates();
  broker = await startMosquitto({ listeners: ['tcp', 'tls', 'ws', 'wss'], certificates });
  proxy = createServer((socket) => {
    visits += 1;
    socket.destroy();
  });
  const port = await freePort();
  proxy.listen(port, '127.0.0.1');
  await once(proxy, 'listening');
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'WS_PROXY', 'WSS_PROXY'];
  proxyEnvironment = {
    ...Object.fromEntries(
      names.flatMap((name) => [name, name.toLowerCase()]).map((name) => [name, `http://127.0.0.1:${port}`]),
    ),
    MQTTJS_SOCKS_PROXY: `socks5://127.0.0.1:${port}`,
    NODE_USE_ENV_PROXY: '1',
    NO_PROXY: '',
    no_proxy: '',
  };
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ALLOW_URLS: '*', ...proxyEnvironment } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
  proxy?.close();
});

it.each<Listener>(['tcp', 'tls', 'ws', 'wss'])('over %s, no proxy of the environment is used', async (listener) => {
  const tls = listener === 'tls' || listener === 'wss' ? { tls: { ca: certificates.ca.cert } } : {};
  const id = `direct-${listener}`;
  const answer = await bridge.request('PUT', `/v1/connections/${id}`, {
    json: { url: broker.over(listener).url, connectTimeout: 5, ...tls },
  });
  expect(answer.json).toMatchObject({ state: 'online' });
  expect(broker.log()).toContain(` as ${id} `);
  expect(visits).toBe(0);
});

it('neither for a broker profile', async () => {
  expect((await bridge.request('POST', '/v1/publish', { json: { topic: 'a', qos: 1 } })).status).toBe(200);
  expect(visits).toBe(0);
});

it('a program that obeys these variables does use it', async () => {
  const fetching = "fetch('http://proxied.test/').then(() => 'answered', () => 'failed')";
  const program = await startProcess(process.execPath, ['-e', fetching], { env: proxyEnvironment });
  await program.exited;
  expect(visits).toBeGreaterThan(0);
});
