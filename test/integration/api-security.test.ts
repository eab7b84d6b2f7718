import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, type Environment, launchBridge, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { freePort } from '../helpers/ports.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const KEY = 'the-api-key-of-this-test';
const PASSWORD = 'plain-password-of-a-connection';
const PROFILE_PASSWORD = 'plain-password-of-the-profile';

let certificates: Certificates;
let broker: Mosquitto;

beforeAll(async () => {
  certificates = await createCertificates();
  const users = { device: PASSWORD, bridge: PROFILE_PASSWORD };
  broker = await startMosquitto({ listeners: ['tcp', 'mutualTls', 'ws'], certificates, users });
});

afterAll(async () => {
  await broker?.stop();
});

const profileUrl = () => broker.url.replace('//', `//bridge:${PROFILE_PASSWORD}@`);

describe('with an API key', () => {
  let bridge: BridgeProcess;
  const authorized = { authorization: `Bearer ${KEY}` };

  beforeAll(async () => {
    bridge = await startBridgeProcess({
      env: { MQTT_URL: profileUrl(), BRIDGE_API_KEY: KEY, ALLOW_URLS: '*', LOG_LEVEL: 'trace' },
    });
  });

  afterAll(async () => {
    await bridge?.stop();
  });

  it.each([
    ['GET', '/v1/connections'],
    ['POST', '/v1/connections'],
    ['PUT', '/v1/connections/x'],
    ['GET', '/v1/connections/x'],
    ['POST', '/v1/publish'],
    ['GET', '/v1/topics/x'],
    ['PUT', '/v1/topics/x'],
    ['GET', '/v1/retained?filter=x'],
    ['GET', '/openapi.json'],
    ['GET', '/docs'],
    ['GET', '/nowhere'],
  ])('%s %s is closed to everybody else', async (method, path) => {
    const headersOf: Record<string, string>[] = [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Bearer ${KEY}x` },
      { authorization: `Basic ${Buffer.from(`x:${KEY}`).toString('base64')}` },
      { authorization: KEY },
    ];
    for (const headers of headersOf) {
      const answer = await bridge.request(method, path, { headers });
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
      expect(answer.json).toMatchObject({ type: '/problems/unauthorized' });
    }
  });

  it('is open to who has the key, from any Host and Origin', async () => {
    expect((await bridge.request('GET', '/v1/connections', { headers: authorized })).status).toBe(200);
    expect((await bridge.request('GET', '/openapi.json', { headers: authorized })).status).toBe(200);
    const elsewhere = { ...authorized, host: 'bridge.example.com' };
    expect((await bridge.request('GET', '/v1/connections', { headers: elsewhere })).status).toBe(200);
  });

  it.each(['/healthz', '/readyz'])('%s is open', async (path) => {
    const answer = await bridge.request('GET', path);
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain(PROFILE_PASSWORD);
  });

  it('tells no secret: in an answer, in the log, or in the store’s files', async () => {
    const answers: string[] = [];
    const call = async (method: string, path: string, json?: object) => {
      const answer = await bridge.request(method, path, {
        headers: authorized,
        ...(json === undefined ? {} : { json }),
      });
      answers.push(JSON.stringify(answer.headers), answer.text);
      return answer;
    };
    const correlationData = Buffer.from('authentication-bytes').toString('base64');
    const document = {
      url: broker.over('mutualTls').url,
      tls: {
        ca: certificates.ca.cert,
        cert: certificates.client.cert,
        key: certificates.encryptedClientKey,
        passphrase: certificates.passphrase,
      },
      username: 'device',
      password: PASSWORD,
      will: { topic: 'w', payload: 'x', correlationData },
    };
    const created = await call('PUT', '/v1/connections/secretive', document);
    expect(created.json).toMatchObject({ state: 'online' });
    const { secrets } = created.json as { secrets: string[] };
    expect(secrets.toSorted()).toEqual(['password', 'tls.key', 'tls.passphrase']);
    await call('PUT', '/v1/connections/secretive', document);
    await call('PATCH', '/v1/connections/secretive', { tls: { key: certificates.client.key, passphrase: null } });
    const web = {
      url: broker.over('ws').url,
      username: 'device',
      password: { base64: Buffer.from(PASSWORD).toString('base64') },
    };
    const withHeader = { ...web, websocket: { headers: { 'x-token': 'token-in-a-header' } } };
    expect((await call('POST', '/v1/connections', { ...withHeader, id: 'web' })).status).toBe(201);
    // Refused documents and connections: errors must not quote them either.
    await call('POST', '/v1/connections', {
      ...web,
      id: 'faulty',
      url: 5,
      password: { base64: `${PASSWORD}!` },
      surprise: PASSWORD,
    });
    await call('POST', '/v1/connections', { ...document, id: 'wrong', username: 'nobody' });
    await call('POST', '/v1/connections', {
      id: 'unreachable',
      url: 'mqtt://127.0.0.1:1',
      password: PASSWORD,
      username: 'u',
    });
    await call('GET', '/v1/connections/secretive');
    await call('GET', '/v1/connections');
    await call('GET', '/readyz');

    const pemLines = [certificates.client.key, certificates.encryptedClientKey].map((pem) => pem.split('\n')[1] ?? '');
    const forbidden = [
      PASSWORD,
      Buffer.from(PASSWORD).toString('base64'),
      PROFILE_PASSWORD,
      KEY,
      certificates.passphrase,
    ].concat('token-in-a-header', 'PRIVATE KEY', ...pemLines);
    for (const secret of forbidden) {
      expect(
        answers.filter((text) => text.includes(secret)),
        secret,
      ).toEqual([]);
      expect(bridge.output().includes(secret), `in the log: ${secret}`).toBe(false);
    }
    const files = await readdir(bridge.directory, { recursive: true, withFileTypes: true });
    const contents = await Promise.all(
      files
        .filter((file) => file.isFile())
        .map(async (file) => ({ file: file.name, bytes: await readFile(join(file.parentPath, file.name)) })),
    );
    expect(contents.some(({ bytes }) => bytes.includes('secretive'))).toBe(true);
    for (const secret of forbidden) {
      expect(
        contents.filter(({ bytes }) => bytes.includes(secret)).map(({ file }) => file),
        secret,
      ).toEqual([]);
    }
  });

  it('still knows the secrets after a restart', async () => {
    await bridge.kill();
    await bridge.restart();
    const state = async () => (await bridge.request('GET', '/v1/connections/secretive', { headers: authorized })).json;
    await expect.poll(state, { timeout: 10_000 }).toMatchObject({ state: 'online' });
  });
});

describe('without an API key', () => {
  let bridge: BridgeProcess;

  beforeAll(async () => {
    bridge = await startBridgeProcess({ env: { MQTT_URL: profileUrl() } });
  });

  afterAll(async () => {
    await bridge?.stop();
  });

  it.each(['attacker.example', 'attacker.example:8080', '192.0.2.1', 'localhost.attacker.example'])(
    'refuses the Host %s: its name was made to lead here',
    async (host) => {
      const answer = await bridge.request('GET', '/v1/connections', { headers: { host } });
      expect(answer.status).toBe(403);
      expect(answer.json).toMatchObject({ type: '/problems/forbidden' });
    },
  );

  it.each(['https://attacker.example', 'null', 'http://127.0.0.1:1', 'http://localhost.attacker.example'])(
    'refuses what a page of the origin %s sends',
    async (origin) => {
      const headers = { origin, 'content-type': 'text/plain' };
      const answer = await bridge.request('PUT', '/v1/topics/cross-site', { headers, body: 'x' });
      expect(answer.status).toBe(403);
      expect((await bridge.request('GET', '/v1/topics/cross-site')).status).toBe(404);
    },
  );

  it('is open to this machine', async () => {
    const { port } = new URL(bridge.url);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) {
      expect((await bridge.request('GET', '/v1/connections', { headers: { host } })).status, host).toBe(200);
    }
    const headers = { host: `localhost:${port}`, origin: `http://localhost:${port}` };
    expect((await bridge.request('GET', '/v1/connections', { headers })).status).toBe(200);
  });

  it('takes no url of a caller unless the operator allows it', async () => {
    const answer = await bridge.request('PUT', '/v1/connections/x', { json: { url: broker.url } });
    expect(answer.status).toBeOneOf([400, 403]);
    expect(answer.text).toContain('url');
  });
});

describe('starting', () => {
  async function refused(env: Environment): Promise<string> {
    const child = await launchBridge(temporaryDirectory('bridge'), {
      PORT: String(await freePort()),
      MQTT_URL: broker.url,
      ...env,
    });
    const { code } = await child.exited;
    expect(code).not.toBe(0);
    expect(code).not.toBeNull();
    return child.output();
  }

  it('is refused on an address that others reach, without a key', async () => {
    for (const HOST of ['0.0.0.0', '::']) expect(await refused({ HOST })).toMatch(/BRIDGE_API_KEY/);
  });

  it('is allowed there with a key', async () => {
    const bridge = await startBridgeProcess({ env: { HOST: '0.0.0.0', BRIDGE_API_KEY: KEY, MQTT_URL: broker.url } });
    expect((await bridge.request('GET', '/healthz')).status).toBe(200);
    expect((await bridge.request('GET', '/v1/connections')).status).toBe(401);
    await bridge.stop();
  });

  it('names every fault of its configuration at once, without their secrets', async () => {
    const output = await refused({
      PORT: 'http',
      LEASE_TTL_MS: '-1',
      LOG_LEVEL: 'loud',
      MQTT_URL: 'http://u:secret-in-url@x',
    });
    for (const name of ['PORT', 'LEASE_TTL_MS', 'LOG_LEVEL', 'MQTT_URL']) expect(output).toContain(name);
    expect(output).not.toContain('secret-in-url');
  });

  it('is refused with Redis and without BRIDGE_SECRET_KEY', async () => {
    expect(await refused({ STORE_URL: 'redis://127.0.0.1:1' })).toMatch(/BRIDGE_SECRET_KEY/);
  });

  it('is refused on a store that another process has', async () => {
    const bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url } });
    const output = await refused({ STORE_URL: `sqlite:${join(bridge.directory, 'data/bridge.db')}` });
    expect(output).toMatch(/bridge\.db/);
    expect(output).toMatch(/another|in use|locked/i);
    expect((await bridge.request('GET', '/readyz')).status).toBeOneOf([200, 503]);
    await bridge.stop();
  });
});
