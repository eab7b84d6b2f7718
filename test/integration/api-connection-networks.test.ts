import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type Listener, type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { freePort } from '../helpers/ports.ts';

let certificates: Certificates;
let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  certificates = await createCertificates();
  broker = await startMosquitto({ listeners: ['tcp', 'tls', 'mutualTls', 'ws', 'wss'], certificates });
  const allowed = [
    'mqtt://127.0.0.1:*',
    'mqtts://localhost:*',
    'mqtts://127.0.0.1:*',
    'ws://127.0.0.1:*',
    'wss://localhost:*',
    'quic://127.0.0.1:*',
  ];
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ALLOW_URLS: allowed.join(',') } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

const open = (json: object) => bridge.request('POST', '/v1/connections', { json: { connectTimeout: 5, ...json } });
const own = () => ({ cert: certificates.client.cert, key: certificates.client.key });

describe.each<Listener>(['tcp', 'tls', 'mutualTls', 'ws', 'wss'])('a broker given by url, over %s', (listener) => {
  it.each(['5.0', '3.1.1', '3.1'])('publishes and receives on MQTT %s', async (protocolVersion) => {
    const id = `${listener}${protocolVersion.replaceAll('.', '')}`;
    const ca = listener === 'tcp' || listener === 'ws' ? {} : { tls: { ca: certificates.ca.cert } };
    const tls = listener === 'mutualTls' ? { tls: { ca: certificates.ca.cert, ...own() } } : ca;
    const url = broker.over(listener).url;
    const answer = await open({ id, url, protocolVersion, ...tls, subscriptions: [{ filter: `${id}/in`, qos: 1 }] });
    expect(answer.json).toMatchObject({ state: 'online', parameters: { url } });
    expect(answer.status).toBe(201);
    expect(answer.text).not.toContain('PRIVATE KEY');
    const judge = await mosquittoSub(broker, ['-t', `${id}/out`, '-q', '2', '-C', '1']);
    const publish = { json: { topic: `${id}/out`, payload: 'out', qos: 2 } };
    expect((await bridge.request('POST', `/v1/connections/${id}/publish`, publish)).status).toBe(200);
    expect(await judge.waitForLines(1)).toEqual(['out']);
    await mosquittoPub(broker, ['-t', `${id}/in`, '-m', 'in', '-q', '1']);
    const messages = await bridge.request('GET', `/v1/connections/${id}/messages?wait=10`);
    expect(messages.json).toMatchObject({ messages: [{ payload: 'in' }] });
    expect((await bridge.request('DELETE', `/v1/connections/${id}`)).status).toBe(204);
  });
});

describe('TLS', () => {
  it.each<Listener>(['tls', 'wss'])('does not trust a broker of an unknown CA, over %s', async (listener) => {
    const answer = await open({ id: 'unknown-ca', url: broker.over(listener).url });
    expect(answer.status).toBe(502);
    expect(answer.json).toMatchObject({
      type: '/problems/tls-failed',
      detail: expect.stringMatching(/broker’s certificate/),
    });
    expect((await bridge.request('GET', '/v1/connections/unknown-ca')).status).toBe(404);
  });

  it('shows a client certificate with an encrypted key', async () => {
    const tls = {
      ca: certificates.ca.cert,
      cert: certificates.client.cert,
      key: certificates.encryptedClientKey,
      passphrase: certificates.passphrase,
    };
    const answer = await open({ id: 'encrypted', url: broker.over('mutualTls').url, tls });
    expect(answer.status).toBe(201);
    expect(answer.text).not.toContain('PRIVATE KEY');
    expect(answer.text).not.toContain(certificates.passphrase);
  });

  it.each([
    { what: 'no client certificate where one is required', tls: () => ({ ca: certificates.ca.cert }) },
    {
      what: 'a client certificate that the broker does not know',
      tls: () => ({ ca: certificates.ca.cert, cert: certificates.stranger.cert, key: certificates.stranger.key }),
    },
  ])('fails as TLS with $what', async ({ tls }) => {
    const answer = await open({ id: 'mutual', url: broker.over('mutualTls').url, tls: tls() });
    expect(answer.status).toBe(502);
    expect(answer.json).toMatchObject({ type: '/problems/tls-failed' });
  });

  it('does not take what is no PEM for a certificate', async () => {
    const answer = await open({ id: 'no-pem', url: broker.over('tls').url, tls: { ca: 'nonsense' } });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errors: [{ pointer: '/tls/ca' }] });
  });

  it('is not talked out of checking certificates', async () => {
    const answer = await open({ id: 'insecure', url: broker.over('tls').url, tls: { rejectUnauthorized: false } });
    expect(answer.status).toBeOneOf([400, 403]);
    expect(answer.text).toContain('rejectUnauthorized');
  });

  it.each(['wrongHost', 'expired'] as const)(
    'does not trust a certificate that is %s, unless it is the one named',
    async (show) => {
      const other = await startMosquitto({ listeners: ['tls'], certificates, show });
      const url = other.over('tls').url;
      const refused = await open({ id: show, url, tls: { ca: certificates.ca.cert } });
      expect(refused.status).toBe(502);
      expect(refused.json).toMatchObject({ type: '/problems/tls-failed' });
      if (show === 'wrongHost') {
        const named = await open({ id: show, url, tls: { ca: certificates.ca.cert, serverName: 'elsewhere.test' } });
        expect(named.status).toBe(201);
        expect((await bridge.request('DELETE', `/v1/connections/${show}`)).status).toBe(204);
      }
      await other.stop();
    },
  );
});

describe('the network under it', () => {
  it('tells that nothing listens there', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`;
    const answer = await open({ id: 'nobody', url });
    expect(answer.status).toBe(502);
    expect(answer.json).toMatchObject({ type: '/problems/broker-unreachable' });
    expect((await bridge.request('GET', '/v1/connections/nobody')).status).toBe(404);
  });

  it('tells that what listens there does not answer', async () => {
    broker.signal('SIGSTOP');
    try {
      const answer = await open({ id: 'silent', connectTimeout: 1 });
      expect(answer.status).toBe(504);
      expect(answer.json).toMatchObject({ type: '/problems/no-answer' });
    } finally {
      broker.signal('SIGCONT');
    }
    expect((await bridge.request('GET', '/v1/connections/silent')).status).toBe(404);
  });

  it('tries the addresses of a cluster in turn', async () => {
    const url = [`mqtt://127.0.0.1:${await freePort()}`, broker.url];
    const answer = await open({ id: 'cluster', url });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ state: 'online', parameters: { url } });
  });

  it.each([
    'mqtt://localhost:1883',
    'mqtt://127.0.0.2:1883',
    'mqtts://example.com',
    'mqtt://169.254.169.254',
    'mqtt://[::1]',
  ])('does not connect to %s, which is not allowed', async (url) => {
    const answer = await open({ id: 'foreign', url });
    expect(answer.status).toBeOneOf([400, 403]);
    expect(answer.text).toContain('url');
  });

  it.each([
    'http://127.0.0.1',
    'mqtt+unix:///tmp/x',
    'file:///etc/passwd',
    '127.0.0.1:1883',
    'mqtt://',
    'mqtt://u:p@127.0.0.1:1',
  ])('explains that %s is no broker address', async (url) => {
    const answer = await open({ id: 'malformed', url });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ errors: [{ pointer: expect.stringMatching(/^\/url/) }] });
  });

  it('does not fall back to TCP where there is no QUIC', async () => {
    const before = broker.log();
    const answer = await open({ id: 'quic', url: broker.url.replace('mqtt:', 'quic:'), connectTimeout: 2 });
    // Without the optional package it is not even tried.
    expect([answer.status, answer.json]).toBeOneOf([
      [501, expect.objectContaining({ type: '/problems/not-available-here' })],
      [502, expect.objectContaining({ type: '/problems/broker-unreachable' })],
      [504, expect.objectContaining({ type: '/problems/no-answer' })],
    ]);
    expect(broker.log().slice(before.length)).not.toContain('New connection');
  });
});
