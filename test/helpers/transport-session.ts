import { expect } from 'vitest';
import type { QoS } from '../../src/mqtt/message.ts';
import { message, read, type TestBridge, valid } from './bridge.ts';
import type { Endpoint } from './mosquitto.ts';
import { mosquittoPub, mosquittoSub, type Subscriber } from './mosquitto-clients.ts';
import { until } from './until.ts';
import type { Wire } from './wire.ts';

const PERSISTENT = {
  '5.0': { sessionExpiryInterval: 600 },
  '3.1.1': { cleanSession: false },
  '3.1': { cleanSession: false },
} as const;

export type Version = keyof typeof PERSISTENT;
export const VERSIONS: readonly Version[] = ['5.0', '3.1.1', '3.1'];

/** Where the judges stand: plain TCP, whatever the bridge uses. */
export interface Judge {
  readonly endpoint: Endpoint;
  readonly witness: Subscriber;
}

/** A subscriber to everything, which has been heard: a retained message tells. */
export async function startJudge(endpoint: Endpoint): Promise<Judge> {
  await mosquittoPub(endpoint, ['-r', '-q', '1', '-t', 'ready', '-m', '']);
  await mosquittoPub(endpoint, ['-r', '-q', '1', '-t', 'ready', '-m', 'yes']);
  const witness = await mosquittoSub(endpoint, ['-V', 'mqttv311', '-t', '#', '-q', '2', '-F', '%t %q %p']);
  await witness.waitForLines(1);
  return { endpoint, witness };
}

export interface TransportSession {
  readonly bridge: TestBridge;
  readonly judge: Judge;
  /** Of a Connection, and the first level of its topics. */
  readonly id: string;
  readonly version: Version;
  readonly wire: Pick<Wire, 'url' | 'cut' | 'mend'>;
  readonly tls?: Readonly<Record<string, string>>;
}

/** What has to work over every transport: messages both ways at every QoS, the Will, and the session at the broker. */
export async function expectSession(session: TransportSession): Promise<void> {
  const { bridge, id, version, wire, tls } = session;
  const { endpoint, witness } = session.judge;
  const { connection } = await bridge.openConnection(
    valid({
      id,
      clientId: id.slice(-23),
      url: wire.url,
      ...(tls === undefined ? {} : { tls }),
      protocolVersion: version,
      ...PERSISTENT[version],
      will: { topic: `${id}/will`, payload: 'gone', qos: 1 },
      subscriptions: [{ filter: `${id}/in`, qos: 2 }],
    }),
  );
  expect(connection).toMatchObject({ state: 'online', generation: 1, subscriptions: [{ granted: { qos: 2 } }] });
  const seen = () => witness.lines().filter((line) => line.startsWith(`${id}/`));
  const untilSeen = (line: string) => until(() => seen().includes(line), { what: line });
  const online = () =>
    until(async () => (await bridge.getConnection(id)).state === 'online', { what: `${id} is online` });
  const received = (payloads: readonly string[]) => expectQueue(bridge, id, payloads);

  for (const qos of [0, 1, 2] as const) {
    expect(await send(bridge, id, qos)).toMatchObject({ qos, reasonCode: 0 });
    await untilSeen(`${id}/out ${qos} at ${qos}`);
  }
  await mosquittoPub(endpoint, ['-t', `${id}/in`, '-q', '2', '-m', 'attached']);
  await received(['attached']);

  // Without DISCONNECT, as after a crash: the broker publishes the Will, and keeps the session.
  wire.cut();
  await untilSeen(`${id}/will 1 gone`);
  await mosquittoPub(endpoint, ['-t', `${id}/in`, '-q', '1', '-m', 'cut']);
  wire.mend();
  await online();
  await received(['attached', 'cut']);

  await bridge.detachConnection(id, { sessionExpiryInterval: null, will: null });
  await mosquittoPub(endpoint, ['-t', `${id}/in`, '-q', '1', '-m', 'detached']);
  expect(await bridge.attachConnection(id)).toMatchObject({ state: 'online', generation: 1 });
  await received(['attached', 'cut', 'detached']);

  expect(await bridge.deleteConnection(id, { session: 'discard', will: null })).toBe('deleted');
  await mosquittoPub(endpoint, ['-t', `${id}/end`, '-q', '1', '-m', 'end']);
  await untilSeen(`${id}/end 1 end`);
  expect(seen().filter((line) => line.includes('/will'))).toEqual([`${id}/will 1 gone`]);
  expect(seen().filter((line) => line.includes('/out'))).toHaveLength(3);
}

async function send(bridge: TestBridge, id: string, qos: QoS): Promise<unknown> {
  const [result] = await bridge.publish(id, [{ message: message(`${id}/out`, `at ${qos}`, qos), timeoutMs: 5_000 }]);
  return result;
}

/** Waits until that many messages are queued, which have to be these, each once and in this order. */
async function expectQueue(bridge: TestBridge, id: string, payloads: readonly string[]): Promise<void> {
  const texts = async () => (await read(bridge, id)).messages.map(({ message: { payload } }) => `${payload}`);
  await until(async () => (await texts()).length >= payloads.length, { what: `${payloads.at(-1)} is queued` });
  expect(await texts()).toEqual(payloads);
}
