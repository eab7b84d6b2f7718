import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { failureOf } from '../helpers/outcome.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const PATH = '/v1/connections/ending';
const BOUND = 10_000;
const NORMALLY = /Client ending disconnected\./;

describe('the end of the process', () => {
  let broker: Mosquitto;
  let redis: RedisServer;
  let bridge: BridgeProcess;

  beforeEach(async () => {
    [broker, redis] = await Promise.all([startMosquitto(), startRedis()]);
    bridge = await startBridgeProcess({
      env: {
        MQTT_URL: broker.url,
        STORE_URL: redis.url,
        BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64'),
      },
    });
    const json = {
      sessionExpiryInterval: 300,
      subscriptions: [{ filter: 'ending/#', qos: 1 }],
      will: { topic: 'will/ending', payload: 'gone' },
    };
    expect((await bridge.request('PUT', PATH, { json })).json).toMatchObject({ state: 'online' });
  });
  afterEach(async () => {
    await bridge.kill();
    broker.signal('SIGCONT');
    await Promise.all([broker.stop(), redis.stop()]);
  });

  const signal = (name: NodeJS.Signals) => process.kill(bridge.pid, name);
  const publish = (timeout: number) =>
    bridge.request('POST', `${PATH}/publish`, { json: { topic: 'out', payload: 'x', qos: 1, timeout } });
  const leases = async () => (await redis.admin.keys('*:lease')).length;

  /** Ends with 0, in time; by SIGTERM. */
  async function end(): Promise<void> {
    const began = performance.now();
    expect(await bridge.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - began).toBeLessThan(BOUND);
  }

  /** Whatever the broker has to say about the Will, it has said by then. */
  async function expectNoWill(): Promise<void> {
    await broker.waitForLog(NORMALLY);
    expect(broker.log()).not.toContain("'will/ending'");
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('%s: DISCONNECT, the leases are given back, 0', async (name) => {
    const wills = await mosquittoSub(broker, ['-t', 'will/ending']);
    expect(await leases()).toBe(1);
    signal(name);
    await end();
    await expectNoWill();
    expect(await leases()).toBe(0);
    await mosquittoPub(broker, ['-t', 'will/ending', '-m', 'end']);
    expect(await wills.waitForLines(1)).toEqual(['end']);
    await wills.stop();
  });

  it('a signal that comes again changes nothing', async () => {
    const waiting = bridge.request('GET', `${PATH}/messages?wait=60`);
    expect((await bridge.request('GET', PATH)).status).toBe(200);
    for (const name of ['SIGTERM', 'SIGINT', 'SIGTERM'] as const) signal(name);
    await end();
    expect((await waiting).status).toBe(200);
    await expectNoWill();
    expect(await leases()).toBe(0);
  });

  it('finishes what is under way, and accepts nothing new', async () => {
    broker.signal('SIGSTOP');
    const late = publish(30);
    await until(() => bridge.request('GET', '/healthz').then(({ status }) => status === 200), { what: 'it answers' });
    signal('SIGTERM');
    await until(async () => (await failureOf(bridge.request('GET', '/healthz'))).error, { what: 'no more requests' });
    broker.signal('SIGCONT');
    expect(await late).toMatchObject({ status: 200, json: { qos: 1 } });
    await end();
    await expectNoWill();
  });

  it('a broker that hangs: 0 in time, and it finds DISCONNECT when it comes to', async () => {
    broker.signal('SIGSTOP');
    const unanswered = failureOf(publish(60));
    await end();
    await unanswered;
    broker.signal('SIGCONT');
    await broker.waitForLog(/Received DISCONNECT from ending/);
    await expectNoWill();
    expect(await leases()).toBe(0);
  });

  it('a store that hangs: 0 in time, and DISCONNECT', async () => {
    redis.signal('SIGSTOP');
    await mosquittoPub(broker, ['-t', 'ending/a', '-m', 'not stored', '-q', '1']);
    await end();
    await expectNoWill();
  });

  it('both hang: 0 in time', async () => {
    redis.signal('SIGSTOP');
    broker.signal('SIGSTOP');
    const unanswered = failureOf(publish(60));
    await end();
    await unanswered;
    broker.signal('SIGCONT');
    await expectNoWill();
  });
});
