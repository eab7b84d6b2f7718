/** MQTT over QUIC to a real QUIC server, whose streams go to a real Mosquitto. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestBridge, message, read, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { type QuicServer, startQuicServer } from '../helpers/quic-server.ts';
import { expectSession, type Judge, startJudge, VERSIONS } from '../helpers/transport-session.ts';
import { until } from '../helpers/until.ts';

const MEBIBYTE = 1024 * 1024;

let certificates: Certificates;
let mosquitto: Mosquitto;
let bridge: TestBridge;
let judge: Judge;
let server: QuicServer;

beforeAll(async () => {
  certificates = await createCertificates();
  mosquitto = await startMosquitto();
  bridge = await createTestBridge({ url: mosquitto.url });
  judge = await startJudge(mosquitto);
  server = await listener();
});

afterAll(async () => {
  await judge?.witness.stop();
  await bridge?.end();
  await server?.stop();
  await mosquitto?.stop();
});

const listener = (options: { port?: number; idleTimeout?: number } = {}) =>
  startQuicServer({ to: mosquitto.port, certificate: certificates.server, ...options });

const open = (id: string, at: QuicServer, parameters: object = {}) =>
  bridge.openConnection(valid({ id, url: at.url, tls: { ca: certificates.ca.cert }, ...parameters }));

const stateOf = async (id: string) => (await bridge.getConnection(id)).state;
const untilState = (id: string, state: string, within?: number) =>
  until(async () => (await stateOf(id)) === state, { what: `${id} is ${state}`, ...(within ? { within } : {}) });

describe.concurrent('the same session, messages and Will', () => {
  it.each(VERSIONS)('over QUIC, MQTT %s', async (version) => {
    const wire = await listener();
    await expectSession({
      bridge,
      judge,
      id: `quic${version}`,
      version,
      wire,
      tls: { ca: certificates.ca.cert },
    });
    await wire.stop();
  });
});

describe('much', () => {
  it('1 MiB goes through whole, both ways', async () => {
    const id = 'quic-large';
    const payload = Buffer.from(Array.from({ length: MEBIBYTE }, (_, at) => at % 251));
    await open(id, server, { subscriptions: [{ filter: `${id}/#`, qos: 1 }] });
    const [result] = await bridge.publish(id, [{ message: message(`${id}/x`, payload, 1), timeoutMs: 10_000 }]);
    expect(result).toMatchObject({ reasonCode: 0 });
    const { messages } = await read(bridge, id, 10_000);
    expect(messages).toHaveLength(1);
    expect(payload.equals(messages[0]?.message.payload ?? Buffer.alloc(0))).toBe(true);
  });

  it('1,000 QoS 1 publishes arrive, in their order', async () => {
    const id = 'quic-many';
    await open(id, server);
    const count = 1_000;
    const witness = await mosquittoSub(mosquitto, ['-t', `${id}/x`, '-q', '1', '-C', String(count)]);
    const texts = Array.from({ length: count }, (_, index) => `number ${index}`);
    const results = await bridge.publish(
      id,
      texts.map((text) => ({ message: message(`${id}/x`, text, 1), timeoutMs: 20_000 })),
    );
    expect(results).toHaveLength(count);
    for (const result of results) expect(result).toMatchObject({ qos: 1, reasonCode: 0 });
    expect(await witness.waitForLines(count)).toEqual(texts);
  });
});

describe.concurrent('a QUIC server that goes away', () => {
  it('is noticed when it stops, and found again when it is back', async () => {
    const id = 'quic-back';
    const first = await listener();
    await open(id, first, { cleanStart: false, sessionExpiryInterval: 60, subscriptions: [{ filter: id, qos: 1 }] });
    await first.stop();
    await untilState(id, 'offline');
    await mosquittoPub(mosquitto, ['-t', id, '-q', '1', '-m', 'meanwhile']);
    const second = await listener({ port: first.port });
    await untilState(id, 'online');
    expect((await read(bridge, id, 5_000)).messages).toMatchObject([
      { message: { payload: Buffer.from('meanwhile') } },
    ]);
    await bridge.deleteConnection(id, { session: 'discard', will: null });
    await second.stop();
  });

  it('is noticed by the Keep Alive when it says nothing any more', async () => {
    const id = 'quic-silent';
    const mute = await listener();
    await open(id, mute, { keepAlive: 1 });
    mute.freeze();
    await untilState(id, 'offline', 10_000);
    await bridge.deleteConnection(id, { session: 'discard', will: null });
    await mute.stop();
  });

  it('does not end a connection on which MQTT says less than its idle time-out asks for', async () => {
    const id = 'quic-idle';
    const impatient = await listener({ idleTimeout: 3_000 });
    const { connection } = await open(id, impatient, { keepAlive: 0 });
    const heard = impatient.datagrams();
    // Three in each time-out: with the fifth, that is over.
    await until(() => impatient.datagrams() - heard >= 5, { what: 'PINGs for more than the time-out', within: 15_000 });
    expect(await bridge.getConnection(id)).toMatchObject({ state: 'online', since: connection.since });
    expect(impatient.connections()).toBe(1);
    await bridge.deleteConnection(id, { session: 'discard', will: null });
    await until(() => impatient.connections() === 0, { what: 'the QUIC connection is closed' });
    await impatient.stop();
  });
});
