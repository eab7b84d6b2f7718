/** The bridge as its own process: QUIC through the API, with the optional package, without it, and with a broken one. */
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { buildGateway } from '../helpers/built-gateway.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { freePort } from '../helpers/ports.ts';
import { startProcess } from '../helpers/process.ts';
import { type QuicServer, startQuicServer } from '../helpers/quic-server.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const PACKAGE = 'quic/node_modules/@infisical/quic';

let certificates: Certificates;
let mosquitto: Mosquitto;
let server: QuicServer;

beforeAll(async () => {
  certificates = await createCertificates();
  mosquitto = await startMosquitto();
  server = await startQuicServer({ to: mosquitto.port, certificate: certificates.server });
});

afterAll(async () => {
  await server?.stop();
  await mosquitto?.stop();
});

const document = (id: string) => ({ id, url: server.url, connectTimeout: 5, tls: { ca: certificates.ca.cert } });
const answerTo = (bridge: BridgeProcess, id: string) =>
  bridge.request('POST', '/v1/connections', { json: document(id) });

describe('with the package', () => {
  let bridge: BridgeProcess;

  beforeAll(async () => {
    bridge = await startBridgeProcess({ env: { MQTT_URL: mosquitto.url, ALLOW_URLS: 'quic://localhost:*' } });
  });

  afterAll(async () => {
    await bridge?.stop();
  });

  it('a Connection is online, publishes, and shows no secret', async () => {
    const answer = await answerTo(bridge, 'quic-api');
    expect(answer.json).toMatchObject({ state: 'online', parameters: { url: server.url } });
    expect(answer.status).toBe(201);
    const publish = { json: { topic: 'quic-api', payload: 'x', qos: 2 } };
    expect((await bridge.request('POST', '/v1/connections/quic-api/publish', publish)).status).toBe(200);
  });

  it('SIGTERM ends it with 0, and the broker gets DISCONNECT', async () => {
    expect((await answerTo(bridge, 'quic-end')).status).toBe(201);
    expect(await bridge.stop()).toMatchObject({ code: 0, signal: null });
    await mosquitto.waitForLog(/Received DISCONNECT from quic-end/);
    expect(bridge.output()).not.toMatch(/"level":(50|60)/);
  });
});

describe('without the package', () => {
  it('501, and nothing falls back to TCP', async () => {
    const folder = await copyOfSource();
    const { request, output } = await startCopy(folder);
    const answer = await request('quic-none');
    expect(answer).toMatchObject({ status: 501, body: { type: '/problems/not-available-here' } });
    expect(mosquitto.log()).not.toContain(' as quic-none ');
    expect(output()).not.toContain('does not load');
  });

  it('501 when it is there but does not load, and the log says why', async () => {
    const folder = await copyOfSource();
    await mkdir(join(folder, PACKAGE, 'dist/native'), { recursive: true });
    await writeFile(join(folder, PACKAGE, 'package.json'), '{}');
    await writeFile(
      join(folder, PACKAGE, 'dist/native/quiche.js'),
      'throw new Error("Unsupported architecture: none")',
    );
    const { request, output } = await startCopy(folder);
    expect(await request('quic-broken')).toMatchObject({ status: 501 });
    // The log comes by another way than the answer.
    await expect
      .poll(output)
      .toMatch(/does not load.*Unsupported architecture: none|Unsupported architecture: none.*does not load/);
  });

  it('a broker profile of QUIC does not start, and the error says what to run', async () => {
    const folder = await copyOfSource();
    await writeFile(
      join(folder, 'start.ts'),
      `import { compose } from './src/compose.ts';
       import { loadConfig } from './src/config.ts';
       const config = loadConfig({ MQTT_URL: 'mqtt://127.0.0.1:1', STORE_URL: 'sqlite::memory:' }, () => '');
       const brokers = new Map([['plant', { urls: ['quic://127.0.0.1:1'] }]]);
       const log = { debug() {}, info() {}, warn() {}, error() {} };
       await compose({ ...config, brokers }, log).catch(({ message }) => console.log(message));`,
    );
    const start = await startProcess(process.execPath, [join(folder, 'start.ts')], { cwd: folder });
    expect(await start.exited).toMatchObject({ code: 0 });
    expect(start.output()).toContain('The broker "plant" is reached by QUIC.');
    expect(start.output()).toContain('npm run quic:install');
  });
});

it('the production bundle finds the package beside itself', async () => {
  const folder = temporaryDirectory('quic-bundle');
  await buildGateway(join(folder, 'dist'));
  await symlink(join(PROJECT, 'quic'), join(folder, 'quic'));
  const { request } = await startCopy(folder, 'dist/server.js');
  expect(await request('quic-bundle')).toMatchObject({ status: 201, body: { state: 'online' } });
});

/** The program without `quic`: only the packages of package.json. */
async function copyOfSource(): Promise<string> {
  const folder = temporaryDirectory('quic-source');
  await cp(join(PROJECT, 'src'), join(folder, 'src'), { recursive: true });
  await cp(join(PROJECT, 'package.json'), join(folder, 'package.json'));
  await symlink(join(PROJECT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function startCopy(folder: string, program = 'src/server.ts') {
  const port = await freePort();
  const bridge = await startProcess(process.execPath, [join(folder, program)], {
    cwd: folder,
    env: {
      PORT: String(port),
      STORE_URL: 'sqlite::memory:',
      MQTT_URL: mosquitto.url,
      ALLOW_URLS: 'quic://localhost:*',
    },
  });
  onTestFinished(async () => {
    expect(await bridge.stop()).toMatchObject({ code: 0 });
  });
  await bridge.waitForOutput(/"msg":"listening"/);
  return {
    output: () => bridge.output(),
    async request(id: string) {
      const answer = await fetch(`http://127.0.0.1:${port}/v1/connections`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(document(id)),
      });
      return { status: answer.status, body: await answer.json() };
    },
  };
}
