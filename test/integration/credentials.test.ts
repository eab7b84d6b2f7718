import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type AnsweringBroker, startAnsweringBroker } from '../helpers/answering-broker.ts';
import { type BridgeProcess, type Environment, launchBridge, startBridgeProcess } from '../helpers/bridge-process.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

/** User name and password: what arrives in CONNECT, where they may not go, and where they never show. */

type Version = '5.0' | '3.1.1' | '3.1';
const VERSIONS: readonly Version[] = ['5.0', '3.1.1', '3.1'];
/** A name that no resolver knows (RFC 6761): nothing leaves this machine. */
const ELSEWHERE = 'broker.invalid';

let bridge: BridgeProcess;
let strict: BridgeProcess;
let broker: AnsweringBroker;

beforeAll(async () => {
  const env = (more: Environment = {}) => ({ env: { MQTT_URL: 'mqtt://127.0.0.1:9', ALLOW_URLS: '*', ...more } });
  [bridge, strict] = await Promise.all([
    startBridgeProcess(env({ LOG_LEVEL: 'trace' })),
    startBridgeProcess(env({ REQUIRE_TLS: 'true' })),
  ]);
});

afterEach(async () => {
  for (const each of [bridge, strict]) {
    const { json } = await each.request<{ connections: { id: string }[] }>('GET', '/v1/connections?limit=100');
    for (const { id } of json.connections) await each.request('DELETE', `${at(id)}?session=keep`);
  }
  await broker?.stop();
});

afterAll(() => Promise.all([bridge?.stop(), strict?.stop()]));

const at = (id: string) => `/v1/connections/${encodeURIComponent(id)}`;
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => 255 - byte));

interface Row {
  readonly what: string;
  readonly versions: readonly Version[];
  readonly given: Readonly<Record<string, unknown>>;
  readonly username: string | undefined;
  readonly password: Buffer | undefined;
}

const rows: readonly Row[] = [
  { what: 'nothing', versions: VERSIONS, given: {}, username: undefined, password: undefined },
  { what: 'a user name alone', versions: VERSIONS, given: { username: 'u' }, username: 'u', password: undefined },
  { what: 'an empty user name', versions: VERSIONS, given: { username: '' }, username: '', password: undefined },
  {
    what: 'both empty',
    versions: VERSIONS,
    given: { username: '', password: '' },
    username: '',
    password: Buffer.alloc(0),
  },
  {
    what: 'an empty password of bytes',
    versions: VERSIONS,
    given: { username: 'u', password: { base64: '' } },
    username: 'u',
    password: Buffer.alloc(0),
  },
  {
    what: 'a binary password',
    versions: VERSIONS,
    given: { username: 'u', password: { base64: allBytes.toString('base64') } },
    username: 'u',
    password: allBytes,
  },
  {
    what: 'a password without user name',
    versions: ['5.0'],
    given: { password: 'token' },
    username: undefined,
    password: Buffer.from('token'),
  },
  {
    what: 'a binary password without user name',
    versions: ['5.0'],
    given: { password: { base64: allBytes.toString('base64') } },
    username: undefined,
    password: allBytes,
  },
  {
    what: 'an empty password without user name',
    versions: ['5.0'],
    given: { password: '' },
    username: undefined,
    password: Buffer.alloc(0),
  },
];

describe('in CONNECT, at the first attach, after a loss and after a restart', () => {
  const cases = rows.flatMap(({ versions, ...row }) => versions.map((version) => ({ version, ...row })));

  it.each(cases)('$version: $what', async ({ version, given, username, password }) => {
    broker = await startAnsweringBroker();
    const document = { url: broker.url, protocolVersion: version, ...given };
    const answer = await bridge.request('PUT', at('c'), { json: document });
    expect(answer.json, answer.text).toMatchObject({ state: 'online' });
    const first = await broker.connection(0);
    first.drop();
    await broker.connection(1);
    for (const { connect } of broker.connections) {
      expect(connect.username).toBe(username);
      expect(connect.password).toEqual(password);
    }
    const again = await bridge.request('PUT', at('c'), { json: document });
    expect(again.status).toBe(200);
    expect(broker.connections).toHaveLength(2);
  });

  it('survive a restart, encrypted', async () => {
    broker = await startAnsweringBroker();
    const password = { base64: allBytes.toString('base64') };
    await bridge.request('PUT', at('named'), { json: { url: broker.url, username: 'u', password } });
    await bridge.request('PUT', at('nameless'), { json: { url: broker.url, password } });
    await bridge.restart();
    const later = await Promise.all([broker.connection(2), broker.connection(3)]);
    for (const { connect } of later) {
      expect(connect.username).toBe(connect.clientId === 'named' ? 'u' : undefined);
      expect(connect.password).toEqual(allBytes);
    }
  });

  it.each(['3.1.1', '3.1'])('a password without user name is a fault on %s', async (protocolVersion) => {
    broker = await startAnsweringBroker();
    const json = { id: 'c', url: broker.url, protocolVersion, password: 'token' };
    const answer = await bridge.request('POST', '/v1/connections', { json });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errors: [{ pointer: '/password', reference: 'MQTT 3.1.1 [MQTT-3.1.2-22]' }] });
    expect(broker.connections).toHaveLength(0);
  });

  it('removing the user name of 5.0 leaves the password', async () => {
    broker = await startAnsweringBroker();
    await bridge.request('PUT', at('c'), { json: { url: broker.url, username: 'u', password: 'p' } });
    const answer = await bridge.request('PATCH', at('c'), { json: { username: null } });
    expect(answer.json, answer.text).toMatchObject({ state: 'online' });
    const { connect } = await broker.connection(1);
    expect(connect).not.toHaveProperty('username');
    expect(connect.password).toEqual(Buffer.from('p'));
  });
});

describe('over plaintext', () => {
  const credentials = [{ username: 'u' }, { username: 'u', password: 'p' }, { password: 'p' }];
  const plaintext = [`mqtt://${ELSEWHERE}`, `tcp://${ELSEWHERE}:1883`, `ws://${ELSEWHERE}/mqtt`];

  it.each(plaintext.flatMap((url) => credentials.map((given) => ({ url, given }))))(
    '$given to $url: a fault with REQUIRE_TLS, else a warning',
    async ({ url, given }) => {
      const json = { url, ...given, connectTimeout: 1 };
      const refused = await strict.request('PUT', at('c'), { json });
      expect(refused.status).toBe(400);
      expect(refused.json).toMatchObject({ type: '/problems/invalid-request' });
      expect((await strict.request('GET', at('c'))).status).toBe(404);
      const warned = await bridge.request('PUT', at('c'), { json });
      expect(warned.status).toBe(201);
      expect(warned.json).toMatchObject({
        warnings: expect.arrayContaining([expect.objectContaining({ code: 'credentials-over-plaintext' })]),
      });
    },
  );

  it('one plaintext address among several counts', async () => {
    const url = [`mqtts://${ELSEWHERE}`, `mqtt://${ELSEWHERE}`];
    const answer = await strict.request('PUT', at('c'), { json: { url, username: 'u', connectTimeout: 1 } });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errors: [{ pointer: '/url/1' }] });
  });

  it.each([
    { url: `mqtt://${ELSEWHERE}`, given: {} },
    { url: `mqtts://${ELSEWHERE}`, given: { username: 'u', password: 'p' } },
    { url: `wss://${ELSEWHERE}`, given: { username: 'u', password: 'p' } },
    { url: 'mqtt://127.0.0.1:9', given: { username: 'u', password: 'p' } },
    { url: 'mqtt://127.9.9.9:9', given: { username: 'u', password: 'p' } },
    { url: 'mqtt://localhost:9', given: { username: 'u', password: 'p' } },
    { url: 'mqtt://[::1]:9', given: { username: 'u', password: 'p' } },
    { url: 'ws://127.0.0.1:9', given: { username: 'u', password: 'p' } },
  ])('$given to $url is allowed, and no warning', async ({ url, given }) => {
    const answer = await strict.request<{ warnings: { code: string }[] }>('PUT', at('c'), {
      json: { url, ...given, connectTimeout: 1 },
    });
    expect(answer.status, answer.text).toBe(201);
    expect(answer.json.warnings.map(({ code }) => code)).not.toContain('credentials-over-plaintext');
  });

  it('REQUIRE_TLS refuses a change that would send them in the clear', async () => {
    expect(
      (await strict.request('PUT', at('c'), { json: { url: `mqtt://${ELSEWHERE}`, connectTimeout: 1 } })).status,
    ).toBe(201);
    expect((await strict.request('PATCH', at('c'), { json: { username: 'u' } })).status).toBe(400);
    expect((await strict.request('GET', at('c'))).json).not.toHaveProperty('parameters.username');
  });

  it('REQUIRE_TLS refuses the credentials of MQTT_URL to a plaintext broker elsewhere', async () => {
    const server = await launchBridge(temporaryDirectory('plaintext'), {
      ...{ PORT: '0', REQUIRE_TLS: 'true', MQTT_URL: `mqtt://u:MqttUrlSecret@${ELSEWHERE}` },
    });
    const { code } = await server.exited;
    expect(code).not.toBe(0);
    expect(server.output()).toMatch(/REQUIRE_TLS/);
    expect(server.output()).not.toContain('MqttUrlSecret');
  });

  it.each([
    { requireTls: 'true', status: 400, warnings: undefined },
    { requireTls: 'false', status: 201, warnings: [{ code: 'credentials-over-plaintext' }] },
  ])('those that a Connection brings to such a profile, REQUIRE_TLS $requireTls', async (row) => {
    const env = { REQUIRE_TLS: row.requireTls, MQTT_URL: `mqtt://${ELSEWHERE}` };
    const own = await startBridgeProcess({ env });
    const json = { username: 'u', password: 'p', connectTimeout: 1 };
    const answer = await own.request<{ warnings?: unknown }>('PUT', at('c'), { json });
    expect(answer.status, answer.text).toBe(row.status);
    if (row.warnings !== undefined) expect(answer.json).toMatchObject({ warnings: row.warnings });
    await own.stop();
  });
});

describe('are shown nowhere', () => {
  const SECRET = 'Sw0rdfish-never-shown';
  const hidden = [SECRET, ...[0, 1, 2].map((shift) => base64Core(SECRET, shift)), Buffer.from(SECRET).toString('hex')];

  /** How its base64 looks inside that of a longer text, for each of the three alignments. */
  function base64Core(text: string, shift: number): string {
    return Buffer.from(`${'x'.repeat(shift)}${text}`)
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, -4);
  }

  it('not in answers, not in the log at level trace, not on the disk', async () => {
    const mosquitto = await startMosquitto({ users: { u: SECRET } });
    broker = await startAnsweringBroker({
      connack: ({ clientId }) => (clientId === 'no' ? { reasonCode: 0x86, properties: { reasonString: 'bad' } } : {}),
    });
    const answers = [
      await bridge.request('POST', '/v1/connections', {
        json: { id: 'ok', url: mosquitto.url, username: 'u', password: SECRET },
      }),
      await bridge.request('GET', at('ok')),
      await bridge.request('GET', '/v1/connections'),
      await bridge.request('PATCH', at('ok'), { json: { keepAlive: 30 } }),
      await bridge.request('PATCH', at('ok'), { json: { password: `${SECRET}-wrong` } }),
      await bridge.request('PATCH', at('ok'), {
        json: { password: { base64: Buffer.from(SECRET).toString('base64') } },
      }),
      await bridge.request('POST', '/v1/connections', {
        json: { id: 'ok', url: mosquitto.url, username: 'u', password: `${SECRET}2` },
      }),
      await bridge.request('POST', '/v1/connections', { json: { id: 'no', url: broker.url, password: SECRET } }),
      await bridge.request('POST', '/v1/connections', {
        json: { id: 'no', url: broker.url, username: 'u', password: SECRET },
      }),
      await bridge.request('PUT', at('off'), { json: { url: 'mqtt://127.0.0.1:9', username: 'u', password: SECRET } }),
      // Faulty, each in its own way.
      await bridge.request('PUT', at('x'), { json: { password: [SECRET] } }),
      await bridge.request('PUT', at('x'), { json: { password: { base64: `${SECRET}!` } } }),
      await bridge.request('PUT', at('x'), { json: { password: { utf8: SECRET } } }),
      await bridge.request('PUT', at('x'), { json: { protocolVersion: '3.1', password: SECRET } }),
      await bridge.request('PUT', at('x'), { json: { username: 'u', password: `\ud800${SECRET}` } }),
      await bridge.request('PUT', at('x'), { json: { url: `mqtt://u:${SECRET}@127.0.0.1:1883` } }),
      await bridge.request('PUT', at('x'), {
        body: `{"password":"${SECRET}"`,
        headers: { 'content-type': 'application/json' },
      }),
      await bridge.request('PUT', at('x'), {
        json: { url: 'mqtts://127.0.0.1:9', tls: { passphrase: SECRET, key: SECRET } },
      }),
      await bridge.request('PUT', at('ws'), {
        json: {
          url: 'ws://127.0.0.1:9',
          connectTimeout: 1,
          websocket: { headers: { Authorization: `Bearer ${SECRET}` } },
        },
      }),
      await bridge.request('GET', at('ws')),
    ];
    expect(answers.map(({ status }) => status)).toEqual([
      ...[201, 200, 200, 200, 200, 200, 409, 422, 422, 201],
      ...[400, 400, 400, 400, 400, 400, 400, 400, 201, 200],
    ]);
    expect(answers[1]?.json).toMatchObject({
      parameters: { username: 'u' },
      secrets: expect.arrayContaining([expect.stringMatching('password')]),
    });
    const log = bridge.output();
    const files = await readdir(bridge.directory, { recursive: true, withFileTypes: true });
    const contents = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name))),
    );
    expect(contents.length).toBeGreaterThan(0);
    for (const secret of hidden) {
      for (const { text } of answers) expect(text).not.toContain(secret);
      expect(log).not.toContain(secret);
      for (const content of contents) expect(content.includes(secret)).toBe(false);
    }
    await mosquitto.stop();
  });
});
