import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { freePort } from '../helpers/ports.ts';
import { type RunningProcess, startProcess } from '../helpers/process.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const SERVER = new URL('../../src/server.ts', import.meta.url).pathname;
const UNSET = Object.fromEntries(
  ['HOST', 'PORT', 'STORE_URL', 'MQTT_URL', 'BRIDGE_CONFIG', 'BRIDGE_API_KEY', 'BRIDGE_SECRET_KEY', 'ALLOW_URLS'].map(
    (name) => [name, undefined],
  ),
);

let broker: Mosquitto;
beforeAll(async () => {
  broker = await startMosquitto();
  return async () => void (await broker.stop());
});

async function start(variables: Record<string, string>, cwd = temporaryDirectory('start'), args: string[] = []) {
  const server = await startProcess(process.execPath, [SERVER, ...args], { cwd, env: { ...UNSET, ...variables } });
  onTestFinished(async () => void (await server.kill()));
  return { server, cwd };
}

async function listening(server: RunningProcess): Promise<string> {
  const [, url = ''] = await server.waitForOutput(/MQTT HTTP Bridge on (\S+)/, 20_000);
  return url;
}

/** Runs the lines that the start prints, as a user would paste them. */
async function paste(server: RunningProcess): Promise<string[]> {
  const lines = server
    .stdout()
    .split('\n')
    .filter((line) => line.startsWith('  curl '));
  const answers: string[] = [];
  for (const line of lines) answers.push((await promisify(execFile)('bash', ['-c', line])).stdout);
  return answers;
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

describe('start', () => {
  test('what it prints works when pasted, in this order; SIGTERM ends it with 0', async () => {
    const { server, cwd } = await start({ MQTT_URL: broker.url, PORT: '0' });
    const url = await listening(server);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const [published = '', retained, queued = ''] = await paste(server);
    expect(JSON.parse(published)).toMatchObject({ qos: 1 });
    expect(retained).toBe('Hello, MQTT');
    expect(queued).toContain('"payload":"Hello, MQTT"');

    expect((await stat(join(cwd, 'data/secret.key'))).mode & 0o777).toBe(0o600);
    const key = await readFile(join(cwd, 'data/secret.key'), 'utf8');
    expect(Buffer.from(key, 'base64')).toHaveLength(32);
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });

    const again = await start({ MQTT_URL: broker.url, PORT: '0' }, cwd);
    const restarted = await listening(again.server);
    expect((await fetch(`${restarted}/v1/connections/demo`)).status).toBe(200);
    expect(await readFile(join(cwd, 'data/secret.key'), 'utf8')).toBe(key);
  });

  test('SIGINT while a caller waits ends it too, and the caller gets an answer', async () => {
    const { server } = await start({ MQTT_URL: broker.url, PORT: '0' });
    const url = await listening(server);
    await fetch(`${url}/v1/connections/waiting`, {
      method: 'PUT',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    const queue = new URL('/v1/connections/waiting/messages?wait=60', url);
    // "100 Continue" tells that the request has reached the server.
    const sent = request(queue, { headers: { expect: '100-continue' } });
    const answered = once(sent, 'response');
    sent.flushHeaders();
    await once(sent, 'continue');
    sent.end();
    const signalled = performance.now();
    server.signal('SIGINT');
    const [answer] = await answered;
    expect(answer.statusCode).toBe(200);
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - signalled).toBeLessThan(5_000);
  });

  test('with nothing configured it brings its own broker; where 1883 is taken, it says what to do', async () => {
    const free = await isFree(1883);
    const { server } = await start({ PORT: String(await freePort()) });
    if (!free) {
      expect((await server.exited).code).toBe(1);
      expect(server.stderr()).toMatch(/127\.0\.0\.1:1883.*MQTT_URL/);
      return;
    }
    await listening(server);
    expect(server.output()).toContain('memory only');
    expect((await paste(server))[1]).toBe('Hello, MQTT');
    const second = await start({ PORT: String(await freePort()) });
    expect((await second.server.exited).code).toBe(1);
    expect(second.server.stderr()).toMatch(/another program does.*MQTT_URL/);
    expect(second.server.stderr()).not.toContain('    at ');
  });

  test('a host that others can reach is refused without a key, with the fix', async () => {
    const { server } = await start({ HOST: '0.0.0.0', PORT: '0', MQTT_URL: broker.url });
    expect((await server.exited).code).toBe(78);
    expect(server.stderr()).toContain('set BRIDGE_API_KEY');
  });

  test('with a key, only who has it is answered', async () => {
    const { server } = await start({ HOST: '0.0.0.0', PORT: '0', MQTT_URL: broker.url, BRIDGE_API_KEY: 'k3y' });
    const url = await listening(server);
    expect((await fetch(`${url}/v1/connections`)).status).toBe(401);
    const answer = await fetch(`${url}/v1/connections`, { headers: { authorization: 'Bearer k3y' } });
    expect(await answer.json()).toEqual({ connections: [], next: null });
    expect(server.output()).not.toContain('k3y');
  });

  test('a second process on the same store is refused', async () => {
    const { server, cwd } = await start({ MQTT_URL: broker.url, PORT: '0' });
    await listening(server);
    const second = await start({ MQTT_URL: broker.url, PORT: '0' }, cwd);
    expect((await second.server.exited).code).toBe(1);
    expect(second.server.stderr()).toContain('data/bridge.db');
    expect(second.server.stderr()).not.toContain('    at ');
  });

  test('a busy port is one sentence', async () => {
    const port = await freePort();
    const holder = createServer();
    await new Promise<void>((done) => holder.listen(port, '127.0.0.1', done));
    onTestFinished(() => void holder.close());
    const { server } = await start({ MQTT_URL: broker.url, PORT: String(port) });
    expect((await server.exited).code).toBe(1);
    expect(server.stderr()).toContain(`Another program listens on 127.0.0.1:${port}`);
  });

  test('it prints its configuration without secrets, and names all faults', async () => {
    const printing = await start({ MQTT_URL: 'mqtt://u:hunter2@localhost', BRIDGE_API_KEY: 'hunter2' }, undefined, [
      '--print-config',
    ]);
    expect((await printing.server.exited).code).toBe(0);
    expect(printing.server.stdout()).not.toContain('hunter2');
    expect(JSON.parse(printing.server.stdout())).toMatchObject({ port: 8080, apiKey: '***' });

    const faulty = await start({ PORT: 'x', LOG_LEVEL: 'x' });
    expect((await faulty.server.exited).code).toBe(78);
    expect(faulty.server.stderr().match(/^- /gm)).toHaveLength(2);
    const unknown = await start({}, undefined, ['--help']);
    expect((await unknown.server.exited).code).toBe(78);
  });

  test('a key file that holds no key is not overwritten', async () => {
    const { server, cwd } = await start({ MQTT_URL: broker.url, PORT: '0' });
    await listening(server);
    await server.stop();
    await writeFile(join(cwd, 'data/secret.key'), 'damaged');
    const again = await start({ MQTT_URL: broker.url, PORT: '0' }, cwd);
    expect((await again.server.exited).code).toBe(1);
    expect(again.server.stderr()).toContain('does not hold a key');
    expect(await readFile(join(cwd, 'data/secret.key'), 'utf8')).toBe('damaged');
  });
});
