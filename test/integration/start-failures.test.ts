import { randomFillSync } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { filled, newRecord, numbered } from '../contract/store/fixtures.ts';
import { launchBridge, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';
import { freePort } from '../helpers/ports.ts';
import { startProcess } from '../helpers/process.ts';
import { startRedis } from '../helpers/redis.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const WAIT = { timeout: 20_000, interval: 50 };
const SERVER = join(import.meta.dirname, '../../src/server.ts');
const BRIDGE_SECRET_KEY = Buffer.alloc(32, 1).toString('base64');

let broker: Mosquitto;
beforeAll(async () => {
  broker = await startMosquitto();
});
afterAll(async () => void (await broker.stop()));

/** A store with something in it, closed. */
async function newFile(): Promise<{ directory: string; path: string }> {
  const directory = temporaryDirectory('start-failures');
  const path = join(directory, 'bridge.db');
  const store = openSqliteStore({ path });
  await store.connections.create(newRecord({ id: 'kept' }));
  await filled(store, numbered(3_000));
  await store.close();
  return { directory, path };
}

describe('a store file that cannot be used is one sentence and exit code 1, and is left as it is', () => {
  const random = (path: string, from: number, length: number) => {
    const bytes = readFileSync(path);
    randomFillSync(bytes, from, length);
    writeFileSync(path, bytes);
  };

  it.each<[string, RegExp, (path: string) => void]>([
    ['random bytes for a header', /not a database, or damaged/, (path) => random(path, 0, 100)],
    ['random bytes after the header', /damaged/, (path) => random(path, 100, 4_096 - 100)],
    ['cut within its first page', /not a database, or damaged|damaged/, (path) => truncateSync(path, 3_000)],
    ['cut in the middle', /damaged/, (path) => truncateSync(path, 40_960)],
    ['text', /not a database/, (path) => writeFileSync(path, 'settings = true\n'.repeat(1_000))],
    [
      'of a newer release',
      /schema version 99.*Run the release that wrote it/,
      (path) => {
        const database = new DatabaseSync(path);
        database.exec('PRAGMA user_version = 99');
        database.close();
      },
    ],
    [
      "another program's",
      /database of another program/,
      (path) => {
        writeFileSync(path, '');
        const database = new DatabaseSync(path);
        database.exec('CREATE TABLE theirs (x)');
        database.close();
      },
    ],
  ])('%s', async (_, sentence, spoil) => {
    const { directory, path } = await newFile();
    spoil(path);
    const before = readFileSync(path);
    await expectRefusal(directory, path, sentence);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(directory).filter((name) => name.startsWith('bridge.db'))).toEqual(['bridge.db']);
  });

  it('a directory', async () => {
    const directory = temporaryDirectory('start-failures');
    mkdirSync(join(directory, 'bridge.db'));
    await expectRefusal(directory, join(directory, 'bridge.db'), /cannot be opened/);
  });

  it('one that another process has open', async () => {
    const { directory, path } = await newFile();
    const other = new DatabaseSync(path);
    onTestFinished(() => other.close());
    other.exec('BEGIN EXCLUSIVE');
    await expectRefusal(directory, path, /in use by another process.*stop the other one/);
  });

  it.skipIf(process.getuid?.() === 0)('one that may not be written, or not be read', async () => {
    const { directory, path } = await newFile();
    for (const mode of [0o400, 0o000]) {
      chmodSync(path, mode);
      await expectRefusal(directory, path, /may not be read and written by this user/);
    }
  });

  it('a disk that is full', async () => {
    const directory = temporaryDirectory('start-failures');
    const path = join(directory, 'bridge.db');
    const full = await startProcess('bash', ['-c', 'ulimit -f 8; exec "$0" "$@"', process.execPath, SERVER], {
      cwd: directory,
      env: { STORE_URL: `sqlite:${path}`, MQTT_URL: broker.url, PORT: '0' },
    });
    expect((await full.exited).code).toBe(1);
    expectOneSentence(full.stderr(), path, /disk is full|writing it failed/);
  });

  async function expectRefusal(directory: string, path: string, sentence: RegExp): Promise<void> {
    const bridge = await launchBridge(directory, { STORE_URL: `sqlite:${path}`, MQTT_URL: broker.url, PORT: '0' });
    expect(await bridge.exited).toEqual({ code: 1, signal: null });
    expect(bridge.stdout()).not.toContain('listening');
    expectOneSentence(bridge.stderr(), path, sentence);
  }

  function expectOneSentence(stderr: string, path: string, sentence: RegExp): void {
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toEqual(['The bridge does not start.', expect.stringMatching(sentence)]);
    expect(lines[1]).toContain(path);
  }
});

describe('a store file that fails at run time', () => {
  it('is 503 where it is damaged, and nowhere else; nothing of it is given up', async () => {
    const bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url } });
    onTestFinished(async () => void (await bridge.kill()));
    const json = { sessionExpiryInterval: 300, subscriptions: [{ filter: 'damage/#', qos: 1 }] };
    for (const id of ['damaged', 'sound']) await bridge.request('PUT', `/v1/connections/${id}`, { json });
    // No more than Mosquitto queues for a client.
    const lines = Array.from({ length: 900 }, (_, index) => `${index}`.padEnd(450, '.')).join('\n');
    await mosquittoPub(broker, ['-V', '5', '-t', 'damage/a', '-q', '1', '-l'], { stdin: lines });
    const depth = async () =>
      (await bridge.request<{ queue: { depth: number } }>('GET', '/v1/connections/damaged')).json.queue.depth;
    await expect.poll(depth, WAIT).toBe(900);
    await bridge.stop();

    const path = join(bridge.directory, 'data/bridge.db');
    const bytes = readFileSync(path);
    // Pages that hold messages of both.
    for (let page = 60; page < 160; page += 1) randomFillSync(bytes, page * 4_096, 4_096);
    writeFileSync(path, bytes);
    await bridge.restart();
    const read = await bridge.request('GET', '/v1/connections/damaged/messages?limit=1000');
    expect(read).toMatchObject({ status: 503, json: { type: '/problems/store-unavailable' } });
    expect(read.headers['retry-after']).toBeDefined();
    expect((await bridge.request('GET', '/healthz')).status).toBe(200);
    expect((await bridge.request('GET', '/v1/connections')).status).toBe(200);
    expect(bridge.output()).not.toMatch(/uncaughtException|unhandledRejection/);
    expect(await bridge.stop()).toEqual({ code: 0, signal: null });
  });

  it('is 503 while the disk is full; what was acknowledged is there, and what was not comes again', async () => {
    const directory = temporaryDirectory('disk-full');
    const port = await freePort();
    const env = { MQTT_URL: broker.url, PORT: String(port), STORE_URL: 'sqlite:./bridge.db' };
    const url = `http://127.0.0.1:${port}`;
    const put = (id: string, more = {}) =>
      fetch(`${url}/v1/connections/${id}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ sessionExpiryInterval: 300, subscriptions: [{ filter: `${id}/#`, qos: 2 }], ...more }),
      });
    const small = await startProcess('bash', ['-c', 'ulimit -f 2000; exec "$0" "$@"', process.execPath, SERVER], {
      cwd: directory,
      env,
    });
    await small.waitForOutput(/"msg":"listening"/);
    expect((await put('full')).status).toBe(201);
    const sent = Array.from({ length: 40 }, (_, index) => `${index}`.padEnd(100_000, '.'));
    await mosquittoPub(broker, ['-V', '5', '-t', 'full/a', '-q', '2', '-l'], { stdin: sent.join('\n') });
    await small.waitForOutput(/the store failed; the connection is closed/);
    // A small document may find room yet.
    const will = { topic: 'will', payload: '.'.repeat(60_000) };
    let refused = await put('another', { will });
    for (let count = 0; count < 100 && refused.ok; count += 1) refused = await put(`another-${count}`, { will });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ type: '/problems/store-unavailable' });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/v1/connections/full/messages?limit=1`)).status).toBe(200);
    expect(small.output()).not.toMatch(/uncaughtException|unhandledRejection/);
    expect((await small.stop(10_000)).signal).toBeNull();

    const roomy = await startProcess(process.execPath, [SERVER], { cwd: directory, env });
    onTestFinished(async () => void (await roomy.kill()));
    await roomy.waitForOutput(/"msg":"listening"/);
    const queue = async () => {
      const page = await fetch(`${url}/v1/connections/full/messages?limit=1000`);
      return ((await page.json()) as { messages: { payload: string }[] }).messages.map(({ payload }) => payload);
    };
    await expect.poll(async () => (await queue()).length, WAIT).toBe(40);
    expect(await queue()).toEqual(sent);
  });
});

describe('a start before the servers that it needs', () => {
  const readiness = (bridge: Awaited<ReturnType<typeof startBridgeProcess>>) => async () => {
    const { status, json } = await bridge.request<object>('GET', '/readyz');
    return { status, ...json };
  };
  const json = { sessionExpiryInterval: 300, subscriptions: [{ filter: 'early/#', qos: 1 }] };

  it('the broker: it starts, is not ready, and what is wanted is online once the broker is there', async () => {
    const own = await startMosquitto({ persistence: true });
    const bridge = await startBridgeProcess({ env: { MQTT_URL: own.url } });
    onTestFinished(async () => void (await Promise.all([bridge.kill(), own.stop()])));
    await bridge.request('PUT', '/v1/connections/early', { json });
    await bridge.stop();
    await own.stop();
    await bridge.restart();
    expect((await bridge.request('GET', '/healthz')).status).toBe(200);
    expect(await readiness(bridge)()).toMatchObject({ status: 503, store: { ok: true }, broker: { ok: false } });
    await own.start();
    await expect.poll(readiness(bridge), WAIT).toMatchObject({ status: 200, ready: true });
    await expect
      .poll(async () => (await bridge.request('GET', '/v1/connections/early')).json, WAIT)
      .toMatchObject({ state: 'online', generation: 1 });
  });

  it.each(['refuses', 'hangs'])(
    'Redis %s, and no broker: alive and not ready; each is taken up when it comes',
    async (how) => {
      const own = await startMosquitto({ persistence: true });
      const redis = await startRedis({ appendfsync: 'always' });
      const bridge = await startBridgeProcess({
        env: { MQTT_URL: own.url, STORE_URL: redis.url, BRIDGE_SECRET_KEY },
      });
      onTestFinished(async () => void (await Promise.all([bridge.kill(), own.stop(), redis.stop()])));
      await bridge.request('PUT', '/v1/connections/early', { json });
      await bridge.stop();
      await own.stop();
      if (how === 'hangs') redis.signal('SIGSTOP');
      else await redis.kill();

      await bridge.restart();
      expect((await bridge.request('GET', '/healthz')).status).toBe(200);
      expect(await readiness(bridge)()).toMatchObject({ status: 503, ready: false, store: { ok: false } });
      const refused = await bridge.request('GET', '/v1/connections/early');
      expect(refused).toMatchObject({ status: 503, json: { type: '/problems/store-unavailable' } });
      expect(refused.headers['retry-after']).toBeDefined();
      if (how === 'refuses') expect(bridge.output()).toMatch(/ECONNREFUSED.*"the store cannot be opened yet/);
      expect(bridge.output()).not.toContain('    at ');

      if (how === 'hangs') redis.signal('SIGCONT');
      else await redis.start();
      await expect
        .poll(readiness(bridge), WAIT)
        .toMatchObject({ status: 503, store: { ok: true }, broker: { ok: false } });
      expect((await bridge.request('GET', '/v1/connections/early')).json).toMatchObject({ state: 'offline' });
      await own.start();
      await expect.poll(readiness(bridge), WAIT).toMatchObject({ status: 200, ready: true });
      await expect
        .poll(async () => (await bridge.request('GET', '/v1/connections/early')).json, WAIT)
        .toMatchObject({ state: 'online', generation: 1 });
      await mosquittoPub(own, ['-t', 'early/a', '-q', '1', '-m', 'there']);
      expect((await bridge.request('GET', '/v1/connections/early/messages?wait=5')).json).toMatchObject({
        messages: [{ payload: 'there' }],
      });
    },
  );

  it('SIGTERM while it waits for Redis ends it with 0', async () => {
    const bridge = await startBridgeProcess({
      env: { MQTT_URL: broker.url, STORE_URL: `redis://127.0.0.1:${await freePort()}`, BRIDGE_SECRET_KEY },
    });
    const began = performance.now();
    expect(await bridge.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - began).toBeLessThan(3_000);
  });
});
