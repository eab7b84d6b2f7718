import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DevBroker, startDevBroker } from '../../src/dev-broker.ts';
import type { QoS } from '../../src/mqtt/message.ts';
import { createTestBridge, message, read, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Endpoint, type Listener, type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub, type Subscriber } from '../helpers/mosquitto-clients.ts';
import { failureOf } from '../helpers/outcome.ts';
import { until } from '../helpers/until.ts';

const LISTENERS: readonly Listener[] = ['tcp', 'tls', 'mutualTls', 'ws', 'wss'];
const PERSISTENT = {
  '5.0': { sessionExpiryInterval: 600 },
  '3.1.1': { cleanSession: false },
  '3.1': { cleanSession: false },
} as const;
type Version = keyof typeof PERSISTENT;

let certificates: Certificates;
let mosquitto: Mosquitto;
let development: DevBroker;
let bridge: TestBridge;
/** Where the judges stand: plain TCP, whatever the bridge uses. */
let judged: Record<'mosquitto' | 'development', { endpoint: Endpoint; witness: Subscriber }>;

beforeAll(async () => {
  certificates = await createCertificates();
  mosquitto = await startMosquitto({ listeners: LISTENERS, certificates });
  development = await startDevBroker({ host: '127.0.0.1', port: 0 });
  bridge = await createTestBridge({ url: mosquitto.url });
  const { url } = development;
  judged = {
    mosquitto: await judge(mosquitto.over('tcp')),
    development: await judge({ url, port: Number(new URL(url).port) }),
  };
});

afterAll(async () => {
  for (const { witness } of Object.values(judged ?? {})) await witness.stop();
  await bridge?.end();
  await development?.close();
  await mosquitto?.stop();
});

/** A subscriber to everything, which has been heard: a retained message tells. */
async function judge(endpoint: Endpoint) {
  await mosquittoPub(endpoint, ['-r', '-q', '1', '-t', 'ready', '-m', '']);
  await mosquittoPub(endpoint, ['-r', '-q', '1', '-t', 'ready', '-m', 'yes']);
  const witness = await mosquittoSub(endpoint, ['-V', 'mqttv311', '-t', '#', '-q', '2', '-F', '%t %q %p']);
  await witness.waitForLines(1);
  return { endpoint, witness };
}

interface Case {
  readonly over: string;
  readonly version: Version;
  readonly at: 'mosquitto' | 'development';
  /** The broker's own address, and the TLS that it asks for. */
  readonly reach: () => { url: string; tls?: Record<string, string> };
}

const CASES: readonly Case[] = [
  ...LISTENERS.flatMap((listener) =>
    (['5.0', '3.1.1', '3.1'] as const).map(
      (version): Case => ({
        over: listener,
        version,
        at: 'mosquitto',
        reach: () => ({ url: mosquitto.over(listener).url, ...tlsFor(listener) }),
      }),
    ),
  ),
  ...(['5.0', '3.1.1'] as const).map(
    (version): Case => ({
      over: 'the development broker',
      version,
      at: 'development',
      reach: () => ({ url: development.url }),
    }),
  ),
];

function tlsFor(listener: Listener): { tls?: Record<string, string> } {
  if (listener === 'tcp' || listener === 'ws') return {};
  const { cert, key } = certificates.client;
  return { tls: { ca: certificates.ca.cert, ...(listener === 'mutualTls' ? { cert, key } : {}) } };
}

describe.concurrent('the same session, messages and Will', () => {
  it.each(CASES)('over $over, MQTT $version', async ({ over, version, at, reach }) => {
    const { endpoint, witness } = judged[at];
    const id = `${over.replaceAll(' ', '')}${version}`;
    const { url, tls } = reach();
    const wire = await startWire(url);
    const { connection } = await bridge.openConnection(
      valid({
        id,
        clientId: id.slice(-23),
        url: wire.url,
        ...(tls === undefined ? {} : { tls }),
        protocolVersion: version,
        ...PERSISTENT[version],
        // Mosquitto 2.0.11 now and then sends what it had queued only when the client sends something.
        keepAlive: 3,
        will: { topic: `${id}/will`, payload: 'gone', qos: 1 },
        subscriptions: [{ filter: `${id}/in`, qos: 2 }],
      }),
    );
    expect(connection).toMatchObject({ state: 'online', generation: 1, subscriptions: [{ granted: { qos: 2 } }] });
    const seen = () => witness.lines().filter((line) => line.startsWith(`${id}/`));
    const untilSeen = (line: string) => until(() => seen().includes(line), { what: line });
    const online = () =>
      until(async () => (await bridge.getConnection(id)).state === 'online', { what: `${id} is online` });

    for (const qos of [0, 1, 2] as const) {
      expect(await send(id, qos)).toMatchObject({ qos, reasonCode: 0 });
      await untilSeen(`${id}/out ${qos} at ${qos}`);
    }
    await mosquittoPub(endpoint, ['-t', `${id}/in`, '-q', '2', '-m', 'attached']);
    await received(id, ['attached']);

    // Without DISCONNECT, as after a crash: the broker publishes the Will, and keeps the session.
    wire.cut();
    await untilSeen(`${id}/will 1 gone`);
    await mosquittoPub(endpoint, ['-t', `${id}/in`, '-q', '1', '-m', 'cut']);
    wire.mend();
    await online();
    await received(id, ['attached', 'cut']);

    await bridge.detachConnection(id, { sessionExpiryInterval: null, will: null });
    await mosquittoPub(endpoint, ['-t', `${id}/in`, '-q', '1', '-m', 'detached']);
    expect(await bridge.attachConnection(id)).toMatchObject({ state: 'online', generation: 1 });
    await received(id, ['attached', 'cut', 'detached']);

    expect(await bridge.deleteConnection(id, { session: 'discard', will: null })).toBe('deleted');
    await mosquittoPub(endpoint, ['-t', `${id}/end`, '-q', '1', '-m', 'end']);
    await untilSeen(`${id}/end 1 end`);
    expect(seen().filter((line) => line.includes('/will'))).toEqual([`${id}/will 1 gone`]);
    expect(seen().filter((line) => line.includes('/out'))).toHaveLength(3);
    await wire.stop();
  });
});

async function send(id: string, qos: QoS): Promise<unknown> {
  const [result] = await bridge.publish(id, [{ message: message(`${id}/out`, `at ${qos}`, qos), timeoutMs: 5_000 }]);
  return result;
}

/** Waits until that many messages are queued, which have to be these, each once and in this order. */
async function received(id: string, payloads: readonly string[]): Promise<void> {
  const texts = async () => (await read(bridge, id)).messages.map(({ message: { payload } }) => `${payload}`);
  await until(async () => (await texts()).length >= payloads.length, { what: `${payloads.at(-1)} is queued` });
  expect(await texts()).toEqual(payloads);
}

describe.concurrent('a TLS handshake that fails says why', () => {
  const ca = () => ({ ca: certificates.ca.cert });

  it.each<{ what: string; listener: Listener; show?: 'expired' | 'wrongHost'; tls: () => object; why: RegExp }>([
    { what: 'an unknown CA', listener: 'tls', tls: () => ({}), why: /certificate/ },
    { what: 'an unknown CA', listener: 'wss', tls: () => ({}), why: /certificate/ },
    { what: 'an expired certificate', listener: 'tls', show: 'expired', tls: ca, why: /expired/ },
    { what: 'an expired certificate', listener: 'wss', show: 'expired', tls: ca, why: /expired/ },
    { what: 'the certificate of another host', listener: 'tls', show: 'wrongHost', tls: ca, why: /elsewhere\.test/ },
    { what: 'the certificate of another host', listener: 'wss', show: 'wrongHost', tls: ca, why: /elsewhere\.test/ },
    { what: 'no certificate of the client', listener: 'mutualTls', tls: ca, why: /certificate required/ },
    {
      what: 'a certificate of the client that the broker does not know',
      listener: 'mutualTls',
      tls: () => ({ ...ca(), cert: certificates.stranger.cert, key: certificates.stranger.key }),
      why: /unknown ca/,
    },
  ])('$what, over $listener', async ({ what, listener, show, tls, why }) => {
    const broker = show === undefined ? mosquitto : await startMosquitto({ listeners: [listener], certificates, show });
    const document = { id: `${what} ${listener}`, url: broker.over(listener).url, connectTimeout: 5, tls: tls() };
    const { error } = await failureOf(bridge.openConnection(valid(document)));
    expect(error).toMatchObject({ type: 'tls-failed', status: 502, message: expect.stringMatching(why) });
    if (broker !== mosquitto) await broker.stop();
  });
});

interface Wire {
  /** The broker's address, by way of this. */
  readonly url: string;
  /** Closes all connections, and takes no new ones. */
  cut(): void;
  mend(): void;
  stop(): Promise<void>;
}

/** A piece of network before a broker that can be cut: bytes go through as they are, TLS too. */
async function startWire(target: string): Promise<Wire> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((inner) => {
    const outer = connect(Number(port), '127.0.0.1');
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
    if (!whole) inner.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: target.replace(`:${port}`, `:${(server.address() as AddressInfo).port}`),
    cut,
    mend: () => {
      whole = true;
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
