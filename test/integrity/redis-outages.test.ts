import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { STORES, type StoreUnderTest } from '../helpers/kill-stores.ts';
import { PATIENT_BROKER, startTraffic, TRAFFIC_PATH, type Traffic } from '../helpers/kill-traffic.ts';
import { FAULTLESS } from '../helpers/ledger.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';

/** Messages that go each way before something breaks, and after. */
const ENOUGH = 100;
/** Milliseconds for what was under way when Redis stopped to arrive. */
const SETTLING = 500;

describe('a Redis that goes away while messages flow in both directions', () => {
  let broker: Mosquitto;
  let store: StoreUnderTest;
  let bridge: BridgeProcess;
  let traffic: Traffic;
  beforeEach(async () => {
    [broker, store] = await Promise.all([startMosquitto({ config: PATIENT_BROKER }), STORES.Redis()]);
    bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...store.env, LEASE_TTL_MS: '15000' } });
    traffic = await startTraffic(broker, bridge);
    await traffic.flows(ENOUGH);
  });
  afterEach(async () => {
    await traffic?.stop();
    await bridge?.kill();
    await Promise.all([broker?.stop(), store?.stop()]);
  });

  it('frozen for seconds: nothing is acknowledged meanwhile, callers are told, and it goes on by itself', async () => {
    store.redis?.signal('SIGSTOP');
    let before: number;
    do {
      before = acknowledgements();
      await pause(SETTLING);
    } while (acknowledgements() !== before);
    const publishing = bridge.request<{ type: string }>('POST', `${TRAFFIC_PATH}/publish`, { json: message(2) });
    const reading = bridge.request('GET', `${TRAFFIC_PATH}/messages`);
    // Longer than the bridge waits for an answer of Redis.
    expect(await reading).toMatchObject({ status: 503, json: { type: '/problems/store-unavailable' } });
    // At QoS 2 it depends on whether the store was asked to record it before it stopped to answer.
    expect(['store-unavailable', 'outcome-unknown'].map((type) => `/problems/${type}`)).toContain(
      (await publishing).json.type,
    );
    expect(acknowledgements()).toBe(before);
    store.redis?.signal('SIGCONT');
    await traffic.flows(ENOUGH);
    await expectFaultless();
  }, 60_000);

  it('killed and started again, with appendfsync always: nothing acknowledged is lost, nothing is repeated at QoS 2', async () => {
    await store.redis?.kill();
    await pause(SETTLING);
    await store.redis?.start();
    await traffic.flows(ENOUGH);
    await expectFaultless();
  }, 60_000);

  const message = (qos: number) => ({ topic: 'elsewhere', payload: 'x', qos, timeout: 5 });

  /** What the bridge has acknowledged to the broker, by the broker's own account. */
  const acknowledgements = () => broker.log().match(/Received PUB(ACK|REC|COMP) from keeper/g)?.length ?? 0;

  async function expectFaultless(): Promise<void> {
    const reports = await traffic.finish();
    for (const { name, verdict } of reports) expect(verdict, name).toEqual(FAULTLESS);
    expect(traffic.strange).toEqual([]);
  }
});
