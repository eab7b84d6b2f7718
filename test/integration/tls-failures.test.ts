import { createHash } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Certificate, type Certificates, createCertificates, EXTENSIONS } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { startParrot, startTlsServer, type TestServer } from '../helpers/tls-server.ts';

interface Problem {
  readonly type: string;
  readonly detail: string;
}

let certificates: Certificates;
/** Issued by an intermediate; its `cert` holds that too. */
let chained: Certificate;
let expiredClient: Certificate;
let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  certificates = await createCertificates();
  const issuer = await certificates.issue({ name: 'between', commonName: 'between', extensions: EXTENSIONS.authority });
  chained = await certificates.issue({
    ...{ name: 'leaf', commonName: 'leaf', issuer },
    extensions: EXTENSIONS.localServer,
  });
  expiredClient = await certificates.issue({
    ...{ name: 'late', commonName: 'late', days: -1 },
    extensions: EXTENSIONS.client,
  });
  broker = await startMosquitto({ listeners: ['tls', 'mutualTls', 'ws', 'wss'], certificates });
  const allowed = ['mqtts', 'wss', 'mqtt', 'ws'].map((scheme) => `${scheme}://localhost:*`);
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.over('tcp').url, ALLOW_URLS: allowed.join(',') } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

/** Opens a Connection to a port of localhost, which fails; nothing is kept. */
async function failure(scheme: string, port: number, tls?: object): Promise<Problem> {
  const json = { id: 'fails', url: `${scheme}://localhost:${port}`, connectTimeout: 5, ...(tls ? { tls } : {}) };
  const answer = await bridge.request<Problem>('POST', '/v1/connections', { json });
  expect(answer.status, answer.text).toBe(502);
  expect(answer.text).not.toMatch(/PRIVATE KEY|openssl|routines|\.c:\d/);
  return answer.json;
}

async function withServer<T>(starting: Promise<TestServer>, run: (port: number) => Promise<T>): Promise<T> {
  const server = await starting;
  try {
    return await run(server.port);
  } finally {
    await server.stop();
  }
}

interface Case {
  readonly what: string;
  readonly server?: () => TlsOptions;
  readonly tls?: () => object;
  readonly why: RegExp;
  readonly whyOverWss?: RegExp;
  readonly type?: 'broker-unreachable';
}

const asking = (): TlsOptions => ({ ca: certificates.ca.cert, requestCert: true, rejectUnauthorized: true });
const pair = ({ cert, key }: Certificate) => ({ cert, key });
const trusting = () => ({ ca: certificates.ca.cert });

const CASES: readonly Case[] = [
  {
    what: 'a self-signed certificate',
    server: () => pair(certificates.stranger),
    why: /broker’s certificate is self-signed/,
  },
  { what: 'an unknown CA', tls: () => ({}), why: /broker’s certificate is from an unknown CA/ },
  {
    what: 'a missing intermediate certificate',
    server: () => pair(chained),
    why: /broker’s certificate.*does not send the certificates in between/,
  },
  { what: 'an expired certificate', server: () => pair(certificates.expired), why: /broker’s certificate has expired/ },
  {
    what: 'a certificate of another host',
    server: () => pair(certificates.wrongHost),
    why: /certificate is for elsewhere\.test, not for localhost/,
  },
  { what: 'a certificate for clients', server: () => pair(certificates.client), why: /not one for servers/ },
  { what: 'a client certificate that is missing', server: asking, why: /requires a client certificate/ },
  {
    what: 'a client certificate that is missing on TLS 1.2',
    server: () => ({ ...asking(), maxVersion: 'TLSv1.2' }),
    why: /requires a client certificate \(TLS alert: handshake failure\)/,
  },
  {
    what: 'a client certificate that is refused without a word',
    server: asking,
    tls: () => ({ ...trusting(), ...pair(certificates.stranger) }),
    type: 'broker-unreachable',
    why: /right after the TLS handshake: perhaps it does not accept the client certificate/,
    whyOverWss: /closed the connection during the WebSocket handshake/,
  },
  {
    what: 'a client certificate that is refused without a word on TLS 1.2',
    server: () => ({ ...asking(), maxVersion: 'TLSv1.2' }),
    tls: () => ({ ...trusting(), ...pair(certificates.stranger) }),
    why: /during the TLS handshake:.*does not accept the client certificate/,
  },
  {
    what: 'no common version: the least is TLS 1.2',
    server: () => ({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    why: /no TLS version in common/,
  },
  {
    what: 'no common cipher',
    server: () => ({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }),
    why: /no common cipher/,
  },
  {
    what: 'no common ALPN protocol',
    server: () => ({ ALPNProtocols: ['x-amzn-mqtt-ca'] }),
    tls: () => ({ ...trusting(), alpn: ['mqtt'] }),
    why: /takes none of the ALPN protocols/,
  },
];

describe.each(['mqtts', 'wss'])('a TLS handshake that fails says which side failed and why, over %s', (scheme) => {
  it.each(CASES)('$what', async ({ server, tls = trusting, why, whyOverWss = why, type = 'tls-failed' }) => {
    const options = { ...pair(certificates.server), ...server?.() };
    const target = broker.over(scheme === 'wss' ? 'ws' : 'tcp').port;
    const problem = await withServer(startTlsServer(options, { port: target }), (port) => failure(scheme, port, tls()));
    const kind = scheme === 'wss' && why !== whyOverWss ? 'broker-unreachable' : type;
    expect(problem).toMatchObject({
      type: `/problems/${kind}`,
      detail: expect.stringMatching(scheme === 'wss' ? whyOverWss : why),
    });
  });

  it.each(['tcp', 'ws'] as const)('TLS spoken to the plaintext port of %s', async (listener) => {
    const problem = await failure(scheme, broker.over(listener).port, trusting());
    expect(problem).toMatchObject({ type: '/problems/tls-failed', detail: expect.stringMatching(/one for plaintext/) });
  });
});

describe('a real broker that refuses the client certificate', () => {
  it.each<{ what: string; show: () => object; why: RegExp }>([
    { what: 'missing', show: () => ({}), why: /requires a client certificate.*certificate required/ },
    {
      what: 'of an unknown CA',
      show: () => pair(certificates.stranger),
      why: /refused the client certificate.*unknown ca/,
    },
    { what: 'expired', show: () => pair(expiredClient), why: /refused the client certificate: it has expired/ },
    { what: 'for servers', show: () => pair(certificates.server), why: /refused the client certificate.*unsupported/ },
  ])('$what', async ({ show, why }) => {
    const problem = await failure('mqtts', broker.over('mutualTls').port, { ...trusting(), ...show() });
    expect(problem).toMatchObject({ type: '/problems/tls-failed', detail: expect.stringMatching(why) });
  });

  it('is a reason of the state too', async () => {
    const url = broker.over('mutualTls').url;
    const declared = { json: { url, tls: trusting(), connectTimeout: 5 } };
    const answer = await bridge.request('PUT', '/v1/connections/declared', declared);
    const detail = expect.stringMatching(/requires a client certificate/);
    expect(answer.json).toMatchObject({ state: 'offline', reason: { code: 'tls-failed', detail } });
    // The certificate that was missing mends it.
    const mended = await bridge.request('PATCH', '/v1/connections/declared', {
      json: { tls: pair(certificates.client) },
    });
    expect(mended.json).toMatchObject({ state: 'online', reason: null });
    await bridge.request('DELETE', '/v1/connections/declared');
  });
});

describe('the wrong protocol at a port', () => {
  it.each(['mqtt', 'ws'])('%s to a port for TLS', async (scheme) => {
    const problem = await failure(scheme, broker.over('tls').port);
    expect(problem).toMatchObject({ type: '/problems/broker-unreachable', detail: expect.stringMatching(/for TLS/) });
  });

  it('ws to a port for mqtt', async () => {
    const problem = await failure('ws', broker.over('tcp').port);
    expect(problem).toMatchObject({
      detail: expect.stringMatching(/WebSocket server.*perhaps the port is one for mqtt,/),
    });
  });

  it('wss to a port for mqtts', async () => {
    const problem = await failure('wss', broker.over('tls').port, trusting());
    expect(problem).toMatchObject({ detail: expect.stringMatching(/does not answer as a WebSocket server/) });
  });
});

describe('a WebSocket handshake that fails says why', () => {
  it.each<{ what: string; answer: string; why: RegExp }>([
    {
      what: 'status 401',
      answer: 'HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n',
      why: /status 401:.*headers/,
    },
    { what: 'status 403', answer: 'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n', why: /status 403/ },
    { what: 'status 404', answer: 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n', why: /status 404:.*path/ },
    {
      what: 'a redirect',
      answer: 'HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n',
      why: /status 302: redirects are not followed/,
    },
    { what: 'status 500', answer: 'HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n', why: /status 500$/ },
    { what: 'no HTTP', answer: '\x20\x02\x00\x00', why: /does not answer as a WebSocket server/ },
    { what: 'nothing', answer: '', why: /closed the connection/ },
    {
      what: 'an answer to something else',
      answer: 'HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
      why: /does not answer as a WebSocket server/,
    },
  ])('$what', async ({ answer, why }) => {
    const problem = await withServer(
      startParrot(() => answer),
      (port) => failure('ws', port),
    );
    expect(problem).toMatchObject({ type: '/problems/broker-unreachable', detail: expect.stringMatching(why) });
  });

  it('no sub-protocol', async () => {
    const answer = (request: string) => {
      const [, key = ''] = /^sec-websocket-key: (.*)\r$/im.exec(request) ?? [];
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      const headers = `upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}`;
      return `HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n\r\n`;
    };
    const problem = await withServer(startParrot(answer), (port) => failure('ws', port));
    expect(problem).toMatchObject({ detail: expect.stringMatching(/sub-protocol/) });
  });
});
