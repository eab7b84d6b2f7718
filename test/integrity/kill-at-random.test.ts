import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { createRandom } from '../helpers/kill-random.ts';
import { STORES, type StoreUnderTest } from '../helpers/kill-stores.ts';
import { PATIENT_BROKER, startTraffic } from '../helpers/kill-traffic.ts';
import { FAULTLESS } from '../helpers/ledger.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';

const KILLS = 20;

describe.each(Object.entries(STORES))('kill -9 at random moments, over %s', (_name, prepareStore) => {
  let broker: Mosquitto;
  let store: StoreUnderTest;
  let bridge: BridgeProcess;
  beforeEach(async () => {
    [broker, store] = await Promise.all([startMosquitto({ config: PATIENT_BROKER }), prepareStore()]);
    bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...store.env } });
  });
  afterEach(async () => {
    await bridge?.kill();
    await Promise.all([broker?.stop(), store?.stop()]);
  });

  it('loses nothing that was acknowledged, and repeats nothing at QoS 2', async () => {
    const random = createRandom();
    const note = `INTEGRITY_SEED=${random.seed}`;
    const traffic = await startTraffic(broker, bridge);
    for (let kill = 0; kill < KILLS; kill += 1) {
      // Most lives are short: what is under way at a start is what crashes hurt most.
      await pause(random.chance(0.6) ? random.between(0, 150) : random.between(150, 500));
      await bridge.kill();
      await bridge.restart();
    }
    const reports = await traffic.finish();
    for (const { name, verdict } of reports) expect(verdict, `${name}, ${note}`).toEqual(FAULTLESS);
    expect(traffic.strange, note).toEqual([]);
  }, 90_000);
});
