import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { connectPublisher, type RawPublisher } from '../helpers/kill-publisher.ts';
import { STORES, type StoreUnderTest } from '../helpers/kill-stores.ts';
import { PATIENT_BROKER } from '../helpers/kill-traffic.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { until } from '../helpers/until.ts';

const PATH = '/v1/connections/flooded';
/** A quarter of a million log lines would be what is measured. */
const QUIET = ['log_type none', 'log_type notice', 'log_type information'];
/** Retained messages, which all come at once when somebody subscribes. */
const RETAINED = 50_000;
/** Published while the store does not answer, of 1,000 bytes each. */
const LIVE = { qos0: 100_000, qos1: 30_000 };
const FILLER = 'x'.repeat(1_000);
/** How many the publisher has under way. */
const WINDOW = 1_000;
/** Of the whole process, at its worst, until the store answers again and to the end; one that rests has about 90 MB. */
const MAX_RSS_MB = { flooded: 400, recovered: 512 };

let broker: Mosquitto;
let store: StoreUnderTest;
let bridge: BridgeProcess;
let publisher: RawPublisher;
beforeEach(async () => {
  [broker, store] = await Promise.all([startMosquitto({ config: [...PATIENT_BROKER, ...QUIET] }), STORES.Redis()]);
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...store.env, LEASE_TTL_MS: '15000' } });
  publisher = await connectPublisher(broker.port);
});
afterEach(async () => {
  publisher?.close();
  await bridge?.kill();
  await Promise.all([broker?.stop(), store?.stop()]);
});

it('a store that does not answer and a broker that floods: memory stays bounded, and no QoS 1 message is lost', async () => {
  await publishAll(RETAINED, (index) => publisher.publish(`retained/${index}`, `r${index}`, 1, { retain: true }));
  const json = {
    ...{ cleanStart: false, sessionExpiryInterval: 3_600 },
    subscriptions: [{ filter: 'live/#', qos: 1 }],
    queue: { maxMessages: 1_000_000, maxBytes: 1_000_000_000 },
  };
  expect((await bridge.request('PUT', PATH, { json })).json).toMatchObject({ state: 'online' });
  const filter = { filter: 'retained/#', qos: 1 };
  expect((await bridge.request('POST', `${PATH}/subscriptions`, { json: filter })).status).toBe(200);
  store.redis?.signal('SIGSTOP');
  await Promise.all([
    publishAll(LIVE.qos1, (index) => publisher.publish('live/1', `l${index} ${FILLER}`, 1)),
    floodAtMostOnce(),
  ]);
  // The bridge has given the store up.
  await broker.waitForLog(/Client flooded (closed its connection|disconnected)/, 20_000);
  expect(peakMb()).toBeLessThan(MAX_RSS_MB.flooded);
  store.redis?.signal('SIGCONT');
  await expectQueued(new Set([...numbered('r', RETAINED), ...numbered('l', LIVE.qos1)]));
  expect(peakMb()).toBeLessThan(MAX_RSS_MB.recovered);
}, 90_000);

async function floodAtMostOnce(): Promise<void> {
  for (let sent = 0; sent < LIVE.qos0; sent += 1) await publisher.publishAtMostOnce('live/0', FILLER);
}

async function publishAll(count: number, publish: (index: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < count; from += WINDOW) {
    const window = Array.from({ length: Math.min(WINDOW, count - from) }, (_, index) => publish(from + index));
    await Promise.all(window);
  }
}

const numbered = (letter: string, count: number) => Array.from({ length: count }, (_, index) => `${letter}${index}`);

/** Reads on until all of them were there. */
async function expectQueued(missing: Set<string>): Promise<void> {
  interface Page {
    messages: { payload: string }[];
    next: string | null;
  }
  let after = '';
  await until(
    async () => {
      const { status, json } = await bridge.request<Page>('GET', `${PATH}/messages?limit=1000${after}`);
      if (status !== 200) return false;
      for (const { payload } of json.messages) missing.delete(payload.split(' ', 1)[0] ?? '');
      if (json.next !== null) after = `&after=${encodeURIComponent(json.next)}`;
      return missing.size === 0;
    },
    { what: 'all of QoS 1 is in the queue', within: 40_000 },
  ).catch((error: Error) => {
    throw new Error(`${error.message}; ${missing.size} are missing, such as ${[...missing].slice(0, 3)}`);
  });
}

/** The most memory that the process had since it started. */
function peakMb(): number {
  const status = readFileSync(`/proc/${bridge.pid}/status`, 'utf8');
  return Number(status.match(/VmHWM:\s+(\d+) kB/)?.[1]) / 1024;
}
