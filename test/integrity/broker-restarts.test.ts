import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { publishedAfterRelease } from '../helpers/kill-broker-faults.ts';
import { STORES, type StoreUnderTest } from '../helpers/kill-stores.ts';
import { PATIENT_BROKER, startTraffic, type Traffic } from '../helpers/kill-traffic.ts';
import { FAULTLESS } from '../helpers/ledger.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';

/** Milliseconds that the broker is away: callers notice. */
const AWAY = 700;
/** Messages that go each way before something breaks, and after. */
const ENOUGH = 100;

describe.each(Object.entries(STORES))('a broker that restarts, over %s', (_name, prepareStore) => {
  let broker: Mosquitto;
  let store: StoreUnderTest;
  let bridge: BridgeProcess;
  let traffic: Traffic;
  beforeEach(async () => {
    [broker, store] = await Promise.all([
      startMosquitto({ persistence: true, config: PATIENT_BROKER }),
      prepareStore(),
    ]);
    bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...store.env } });
    traffic = await startTraffic(broker, bridge);
    await traffic.flows(ENOUGH);
  });
  afterEach(async () => {
    await traffic?.stop();
    await bridge?.kill();
    await Promise.all([broker?.stop(), store?.stop()]);
  });

  it('and kept what it had: nothing acknowledged is lost, nothing is repeated at QoS 2', async () => {
    await broker.stop();
    const before = broker.log();
    await pause(AWAY);
    await broker.start();
    await traffic.flows(ENOUGH);
    const reports = await traffic.finish();
    const log = before + broker.log();
    for (const { name, verdict } of reports) expect({ ...verdict, repeated: [] }, name).toEqual(FAULTLESS);
    const repeated = (direction: string) =>
      reports.filter(({ name }) => name.startsWith(direction)).flatMap(({ verdict }) => verdict.repeated);
    // No more often than the broker began an exchange anew that it had ended.
    expect(repeated('in/').length).toBeLessThanOrEqual(publishedAfterRelease(log, 'keeper'));
    expect(repeated('out/').length).toBeLessThanOrEqual(publishedAfterRelease(log, 'keeper-judge'));
    expect(traffic.strange).toEqual([]);
  }, 60_000);

  it('and was killed, so that it lost what it had: messages go both ways again by themselves', async () => {
    await broker.kill();
    await pause(AWAY);
    await broker.start();
    await traffic.flows(ENOUGH);
    expect(traffic.strange).toEqual([]);
  }, 60_000);
});
