/** The same session over every transport and version; over QUIC it is in quic-sessions.test.ts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DevBroker, startDevBroker } from '../../src/dev-broker.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Listener, type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { failureOf } from '../helpers/outcome.ts';
import { expectSession, type Judge, startJudge, VERSIONS, type Version } from '../helpers/transport-session.ts';
import { startWire } from '../helpers/wire.ts';

const LISTENERS: readonly Listener[] = ['tcp', 'tls', 'mutualTls', 'ws', 'wss'];

let certificates: Certificates;
let mosquitto: Mosquitto;
let development: DevBroker;
let bridge: TestBridge;
let judges: Record<'mosquitto' | 'development', Judge>;

beforeAll(async () => {
  certificates = await createCertificates();
  mosquitto = await startMosquitto({ listeners: LISTENERS, certificates });
  development = await startDevBroker({ host: '127.0.0.1', port: 0 });
  bridge = await createTestBridge({ url: mosquitto.url });
  const { url } = development;
  judges = {
    mosquitto: await startJudge(mosquitto.over('tcp')),
    development: await startJudge({ url, port: Number(new URL(url).port) }),
  };
});

afterAll(async () => {
  for (const { witness } of Object.values(judges ?? {})) await witness.stop();
  await bridge?.end();
  await development?.close();
  await mosquitto?.stop();
});

interface Case {
  readonly over: string;
  readonly at: 'mosquitto' | 'development';
  /** The broker's own address, and the TLS that it asks for. */
  readonly reach: () => { url: string; tls?: Record<string, string> };
}

const TRANSPORTS: readonly Case[] = [
  ...LISTENERS.map(
    (listener): Case => ({
      over: listener,
      at: 'mosquitto',
      reach: () => ({ url: mosquitto.over(listener).url, ...tlsFor(listener) }),
    }),
  ),
  { over: 'the development broker', at: 'development', reach: () => ({ url: development.url }) },
];

const CASES = TRANSPORTS.flatMap((transport) =>
  VERSIONS.map((version): Case & { version: Version } => ({ ...transport, version })),
);

function tlsFor(listener: Listener): { tls?: Record<string, string> } {
  if (listener === 'tcp' || listener === 'ws') return {};
  const { cert, key } = certificates.client;
  return { tls: { ca: certificates.ca.cert, ...(listener === 'mutualTls' ? { cert, key } : {}) } };
}

describe.concurrent('the same session, messages and Will', () => {
  it.each(CASES)('over $over, MQTT $version', async ({ over, version, at, reach }) => {
    const { url, ...tls } = reach();
    const wire = await startWire(url);
    const id = `${over.replaceAll(' ', '')}${version}`;
    await expectSession({ bridge, judge: judges[at], id, version, wire, ...tls });
    await wire.stop();
  });
});

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
