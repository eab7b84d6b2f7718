import { setTimeout as pause } from 'node:timers/promises';
import { startBridgeProcess } from './bridge-process.ts';
import type { Random } from './kill-random.ts';
import { STORES } from './kill-stores.ts';
import { type FlowReport, PATIENT_BROKER, startTraffic, type Traffic } from './kill-traffic.ts';
import { startMosquitto } from './mosquitto.ts';

const KILLS = 20;
/** A line for each packet would cost the time that the starts need. */
const QUIET = ['log_type none', 'log_type notice', 'log_type information'];

/**
 * Kills a bridge again and again while messages flow both ways, each time as many milliseconds after it is up as chance
 * will have it. Answers what became of the messages, and answers to callers that no problem of the API explains.
 */
export async function killAtRandom(
  store: keyof typeof STORES,
  random: Random,
): Promise<{ reports: readonly FlowReport[]; strange: readonly string[] }> {
  const [broker, storeUnderTest] = await Promise.all([
    startMosquitto({ config: [...PATIENT_BROKER, ...QUIET] }),
    STORES[store](),
  ]);
  const bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...storeUnderTest.env } });
  let traffic: Traffic | null = null;
  try {
    traffic = await startTraffic(broker, bridge);
    for (let kill = 0; kill < KILLS; kill += 1) {
      // Most lives are short: what is under way at a start is what crashes hurt most.
      await pause(random.chance(0.6) ? random.between(0, 150) : random.between(150, 500));
      await bridge.kill();
      await bridge.restart();
    }
    return { reports: await traffic.finish(), strange: traffic.strange };
  } finally {
    await traffic?.stop();
    await bridge.kill();
    await Promise.all([broker.stop(), storeUnderTest.stop()]);
  }
}
