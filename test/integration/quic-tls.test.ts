/** Who the broker is, and who the client is: QUIC's TLS, by certificates that are right and wrong. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { failureOf } from '../helpers/outcome.ts';
import { freePort } from '../helpers/ports.ts';
import { type QuicServer, type QuicServerOptions, startQuicServer } from '../helpers/quic-server.ts';

let certificates: Certificates;
let mosquitto: Mosquitto;
let bridge: TestBridge;

beforeAll(async () => {
  certificates = await createCertificates();
  mosquitto = await startMosquitto();
  bridge = await createTestBridge({ url: mosquitto.url });
});

afterAll(async () => {
  await bridge?.end();
  await mosquitto?.stop();
});

interface Case {
  readonly what: string;
  readonly show?: 'server' | 'expired' | 'wrongHost';
  readonly host?: string;
  readonly server?: () => Partial<QuicServerOptions>;
  readonly tls?: () => object;
}

async function listen({ show = 'server', server }: Case): Promise<QuicServer> {
  return await startQuicServer({ to: mosquitto.port, certificate: certificates[show], ...server?.() });
}

function document({ what, host = 'localhost', tls }: Case, { port }: QuicServer) {
  const trusted = { ca: certificates.ca.cert };
  return { id: what, url: `quic://${host}:${port}`, connectTimeout: 5, tls: { ...trusted, ...tls?.() } };
}

const mutual = () => ({ clientCa: certificates.ca });
const showing = (key: string, cert = certificates.client.cert) => ({ cert, key });

describe.concurrent('a broker that is the right one', () => {
  it.each<Case>([
    { what: 'by its name' },
    { what: 'by its IPv4 address', host: '127.0.0.1' },
    { what: 'by its IPv6 address', host: '[::1]', server: () => ({ host: '::1' }) },
    { what: 'by the server name', show: 'wrongHost', tls: () => ({ serverName: 'elsewhere.test' }) },
    {
      what: 'by the server name, at an address',
      show: 'wrongHost',
      host: '127.0.0.1',
      tls: () => ({ serverName: 'elsewhere.test' }),
    },
    {
      what: 'with several authorities',
      tls: () => ({ ca: `${certificates.stranger.cert}${certificates.ca.cert}` }),
    },
    { what: 'by another protocol', server: () => ({ alpn: 'mqttx' }), tls: () => ({ alpn: ['none', 'mqttx'] }) },
    { what: 'that knows the client', server: mutual, tls: () => showing(certificates.client.key) },
    {
      what: 'that knows the client, whose key is encrypted',
      server: mutual,
      tls: () => ({ ...showing(certificates.encryptedClientKey), passphrase: certificates.passphrase }),
    },
  ])('$what', async (row) => {
    const server = await listen(row);
    const { connection } = await bridge.openConnection(valid(document(row, server)));
    expect(connection.state).toBe('online');
    await bridge.deleteConnection(row.what, { session: 'discard', will: null });
    await server.stop();
  });
});

describe.concurrent('a broker that may be another one', () => {
  it.each<Case & { why: RegExp }>([
    { what: 'an unknown CA', tls: () => ({ ca: certificates.stranger.cert }), why: /CA that is not trusted/ },
    { what: 'a CA that is not one of the system', tls: () => ({ ca: undefined }), why: /CA that is not trusted/ },
    { what: 'an expired certificate', show: 'expired', why: /expired/ },
    { what: 'the certificate of another host', show: 'wrongHost', why: /for elsewhere\.test, not for localhost/ },
    {
      what: 'the certificate of another host, at an address',
      show: 'wrongHost',
      host: '127.0.0.1',
      why: /for elsewhere\.test, not for/,
    },
    {
      what: 'another server name',
      host: '127.0.0.1',
      tls: () => ({ serverName: 'elsewhere.test' }),
      why: /not for elsewhere\.test/,
    },
    { what: 'another protocol', server: () => ({ alpn: 'h3' }), why: /ALPN/ },
    { what: 'no certificate of the client', server: mutual, why: /requires a client certificate/ },
    {
      what: 'a certificate of the client that the broker does not know',
      server: mutual,
      tls: () => showing(certificates.stranger.key, certificates.stranger.cert),
      why: /client certificate: it does not know the CA/,
    },
  ])('$what', async (row) => {
    const server = await listen(row);
    const { error } = await failureOf(bridge.openConnection(valid(document(row, server))));
    expect(error).toMatchObject({ type: 'tls-failed', status: 502, message: expect.stringMatching(row.why) });
    expect(mosquitto.log()).not.toContain(` as ${row.what} `);
    await server.stop();
  });

  it('is taken where the operator lets it', async () => {
    const row: Case = { what: 'unverified', show: 'wrongHost' };
    const server = await listen(row);
    const profile = { urls: [server.url], tls: { rejectUnauthorized: false } };
    const lenient = await createTestBridge({ url: server.url, profile });
    const { connection } = await lenient.openConnection(valid({ id: row.what }));
    expect(connection.state).toBe('online');
    await lenient.end();
    await server.stop();
  });
});

describe('the network under it', () => {
  it('nothing listens there', async () => {
    const url = `quic://127.0.0.1:${await freePort()}`;
    const { error } = await failureOf(bridge.openConnection(valid({ id: 'nobody', url })));
    const message = `Nothing listens at ${url.slice('quic://'.length)} (ECONNREFUSED)`;
    expect(error).toMatchObject({ type: 'broker-unreachable', message });
  });

  it('what listens there does not answer', async () => {
    const silent = await listen({ what: 'silent' });
    silent.freeze();
    const { error } = await failureOf(
      bridge.openConnection(valid({ id: 'silent', url: silent.url, connectTimeout: 1 })),
    );
    expect(error).toMatchObject({ type: 'no-answer', status: 504 });
    await silent.stop();
  });

  it('a link-local address is not connected to', async () => {
    const { error } = await failureOf(bridge.openConnection(valid({ id: 'meta', url: 'quic://169.254.169.254' })));
    expect(error).toMatchObject({ type: 'invalid-request' });
  });
});
