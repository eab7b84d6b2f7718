import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { PATIENT_BROKER, startTraffic, TRAFFIC_PATH, type Traffic } from '../helpers/kill-traffic.ts';
import { FAULTLESS } from '../helpers/ledger.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { until } from '../helpers/until.ts';

const KILL_DISK = pathToFileURL(`${import.meta.dirname}/../helpers/kill-disk.ts`).href;
/** Messages that go each way before the disk is full, and after. */
const ENOUGH = 100;

let broker: Mosquitto;
let bridge: BridgeProcess;
let traffic: Traffic;
beforeEach(async () => {
  broker = await startMosquitto({ config: PATIENT_BROKER });
  const env = { MQTT_URL: broker.url, NODE_OPTIONS: `--import=${KILL_DISK}` };
  bridge = await startBridgeProcess({ env });
  traffic = await startTraffic(broker, bridge);
  await traffic.flows(ENOUGH);
});
afterEach(async () => {
  await traffic?.stop();
  await bridge?.kill();
  await broker?.stop();
});

it('a full disk: nothing is acknowledged that is not stored, log and callers say why, and it goes on when there is room', async () => {
  process.kill(bridge.pid, 'SIGUSR2');
  await until(() => /the disk is full/.test(bridge.output()), { what: 'the log says that the disk is full' });
  // What still fits into the last pages is stored, and so acknowledged.
  await until(
    async () => {
      const before = acknowledgements();
      await pause(1_000);
      return acknowledgements() === before;
    },
    { what: 'a second without acknowledgements', within: 20_000 },
  );
  const large = 'x'.repeat(60_000);
  const will = { topic: 'will', payload: large };
  expect(await bridge.request('PUT', '/v1/connections/another', { json: { will } })).toMatchObject({
    status: 503,
    json: { type: '/problems/store-unavailable' },
  });
  const message = { topic: 'elsewhere', payload: large, qos: 2, timeout: 1 };
  const { status } = await bridge.request('POST', `${TRAFFIC_PATH}/publish`, { json: message });
  expect(status).toBe(503);
  expect((await bridge.request('GET', `${TRAFFIC_PATH}/messages`)).status).toBe(200);

  process.kill(bridge.pid, 'SIGUSR2');
  await traffic.flows(ENOUGH, 30_000);
  const reports = await traffic.finish();
  for (const { name, verdict } of reports) expect(verdict, name).toEqual(FAULTLESS);
  expect(traffic.strange).toEqual([]);
}, 90_000);

/** Of messages: what the bridge has acknowledged to the broker, by the broker's own account. */
const acknowledgements = () => broker.log().match(/Received PUB(ACK|REC) from keeper/g)?.length ?? 0;
