import { afterEach, beforeEach, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';

const PATH = '/v1/connections/robust';
const WAIT = { timeout: 20_000, interval: 50 };

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeEach(async () => {
  broker = await startMosquitto({ persistence: true });
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url } });
  const json = {
    cleanStart: false,
    sessionExpiryInterval: 300,
    subscriptions: [{ filter: 'robust/#', qos: 1, subscriptionIdentifier: 3 }],
    will: { topic: 'will/robust', payload: 'gone' },
  };
  expect((await bridge.request('PUT', PATH, { json })).json).toMatchObject({ state: 'online', generation: 1 });
});

afterEach(async () => {
  await bridge?.kill();
  await broker?.stop();
});

const connection = async () => (await bridge.request('GET', PATH)).json;

async function expectToReceive(payload: string): Promise<void> {
  await mosquittoPub(broker, ['-t', 'robust/a', '-m', payload, '-q', '1']);
  const read = async () => (await bridge.request('GET', `${PATH}/messages?wait=5`)).json;
  await expect
    .poll(read, WAIT)
    .toMatchObject({ messages: [{ payload, subscriptionIdentifiers: [3] }], connection: { state: 'online' } });
}

it('goes on with its session when the broker was restarted and kept it', async () => {
  await broker.stop();
  await expect.poll(connection, WAIT).toMatchObject({ state: 'offline', reason: { code: expect.any(String) } });
  const empty = await bridge.request('GET', `${PATH}/messages`);
  expect(empty.status).toBe(200);
  expect(empty.json).toMatchObject({ messages: [], connection: { state: 'offline' } });
  expect((await bridge.request('GET', '/readyz')).status).toBe(503);
  expect((await bridge.request('GET', '/healthz')).status).toBe(200);
  await broker.start();
  await expect
    .poll(connection, WAIT)
    .toMatchObject({ state: 'online', generation: 1, connack: { sessionPresent: true } });
  await expectToReceive('after');
});

it('subscribes again when the broker lost the session', async () => {
  await broker.kill();
  await expect.poll(connection, WAIT).toMatchObject({ state: 'offline' });
  await broker.start();
  await expect.poll(connection, WAIT).toMatchObject({
    state: 'online',
    generation: 2,
    connack: { sessionPresent: false },
    subscriptions: [{ filter: 'robust/#', granted: { qos: 1 } }],
  });
  await expectToReceive('after');
});

it('discards the session of a Connection that was deleted meanwhile, once the broker is back', async () => {
  await broker.stop();
  await expect.poll(connection, WAIT).toMatchObject({ state: 'offline' });
  expect((await bridge.request('DELETE', PATH)).status).toBe(202);
  expect((await bridge.request('GET', PATH)).status).toBe(404);
  await broker.start();
  await broker.waitForLog(/New client connected from \S+ as robust \(p5, c1, /, 10_000);
});

it('ends on SIGTERM with exit code 0: finishes requests, disconnects normally, and the Will is not published', async () => {
  const wills = await mosquittoSub(broker, ['-t', 'will/robust']);
  const polling = bridge.request('GET', `${PATH}/messages?wait=60`);
  // Answered after the long poll was received: both come over connections of their own, in this order.
  expect(await connection()).toMatchObject({ state: 'online' });
  const began = performance.now();
  expect(await bridge.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(await polling).toMatchObject({ status: 200, json: { messages: [] } });
  await broker.waitForLog(/Client robust disconnected\./);
  await mosquittoPub(broker, ['-t', 'will/robust', '-m', 'end']);
  expect(await wills.waitForLines(1)).toEqual(['end']);
  await wills.stop();
});

it('publishes the Will of a bridge that was killed, by the broker', async () => {
  const wills = await mosquittoSub(broker, ['-t', 'will/robust']);
  await bridge.kill();
  expect(await wills.waitForLines(1)).toEqual(['gone']);
  await wills.stop();
  await bridge.restart();
  await expect
    .poll(connection, WAIT)
    .toMatchObject({ state: 'online', generation: 1, connack: { sessionPresent: true } });
  await expectToReceive('after');
});
