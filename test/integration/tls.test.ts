import { createPrivateKey } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Certificate, type Certificates, createCertificates, EXTENSIONS } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { startTlsServer } from '../helpers/tls-server.ts';

const SCHEMES = ['mqtts', 'wss'] as const;

let certificates: Certificates;
/** Of an intermediate CA, the client's own first. */
let chain: Certificate;
let rsa: Certificate;
let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  certificates = await createCertificates();
  const [between, ofRsa] = await Promise.all([
    certificates.issue({ name: 'between', commonName: 'between', extensions: EXTENSIONS.authority }),
    certificates.issue({ name: 'rsa', commonName: 'rsa', algorithm: 'rsa', extensions: EXTENSIONS.client }),
  ]);
  rsa = ofRsa;
  const leaf = await certificates.issue({
    name: 'leaf',
    commonName: 'leaf',
    issuer: between,
    extensions: 'extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:localhost\n',
  });
  chain = { ...leaf, cert: `${leaf.cert}${between.cert}` };
  broker = await startMosquitto({ listeners: ['tls', 'mutualTls', 'ws'], certificates });
  const allowed = ['mqtts://localhost:*', 'wss://localhost:*', 'mqtts://127.0.0.1:*', 'wss://127.0.0.1:*'];
  bridge = await startBridgeProcess({
    env: { MQTT_URL: broker.over('tcp').url, ALLOW_URLS: allowed.join(','), LOG_LEVEL: 'trace' },
  });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

const pair = ({ cert, key }: Certificate) => ({ cert, key });
const trusting = () => ({ ca: certificates.ca.cert });
const open = (id: string, url: string, tls: object) =>
  bridge.request<{ warnings: { code: string }[] }>('POST', '/v1/connections', {
    json: { id, url, tls, connectTimeout: 5 },
  });
const remove = async (id: string) => expect((await bridge.request('DELETE', `/v1/connections/${id}`)).status).toBe(204);

/** Where what a TLS server of Node's takes out of TLS goes to. */
const behind = (scheme: (typeof SCHEMES)[number]) => broker.over(scheme === 'mqtts' ? 'tcp' : 'ws').port;

describe('two-way TLS', () => {
  /** Keys as they come, each with its certificate. */
  const cases: { what: string; tls: () => Record<string, string> }[] = [
    { what: 'a key on a curve', tls: () => pair(certificates.client) },
    { what: 'an RSA key', tls: () => pair(rsa) },
    { what: 'a chain', tls: () => pair(chain) },
    {
      what: 'an encrypted key (PKCS#8)',
      tls: () => ({
        cert: certificates.client.cert,
        key: certificates.encryptedClientKey,
        passphrase: certificates.passphrase,
      }),
    },
    {
      what: 'an encrypted key (PKCS#1, as OpenSSL wrote it once)',
      tls: () => ({ ...legacy(rsa, 'pkcs1'), cert: rsa.cert }),
    },
    {
      what: 'an encrypted key (SEC 1, as OpenSSL wrote it once)',
      tls: () => ({ ...legacy(certificates.client, 'sec1'), cert: certificates.client.cert }),
    },
  ];

  it.each(cases)('with $what', async ({ tls }) => {
    const shown: Record<string, string> = { ...trusting(), ...tls() };
    const answer = await open('twoway', broker.over('mutualTls').url, shown);
    expect(answer.json).toMatchObject({ state: 'online', warnings: [] });
    const secrets = shown.passphrase === undefined ? ['tls.key'] : ['tls.key', 'tls.passphrase'];
    expect(answer.json).toMatchObject({ parameters: { tls: { cert: shown.cert } }, secrets });
    expect(answer.text).not.toContain('PRIVATE KEY');
    await remove('twoway');
  });

  it('needs the chain where the broker knows the root only', async () => {
    const [first = ''] = chain.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
    const answer = await open('cut-chain', broker.over('mutualTls').url, {
      ...trusting(),
      ...pair(chain),
      cert: first,
    });
    expect(answer.status).toBe(502);
    expect(answer.text).toMatch(/refused the client certificate/);
  });
});

/** The key with a passphrase, in the form before PKCS#8: "Proc-Type: 4,ENCRYPTED". */
function legacy({ key }: Certificate, type: 'pkcs1' | 'sec1'): { key: string; passphrase: string } {
  const { passphrase } = certificates;
  const encrypted = createPrivateKey(key).export({ type, format: 'pem', cipher: 'aes-256-cbc', passphrase });
  expect(encrypted).toContain('Proc-Type: 4,ENCRYPTED');
  return { key: encrypted.toString(), passphrase };
}

describe.each(SCHEMES)('what a client says in the TLS handshake, over %s', (scheme) => {
  it('the server name, by which a server chooses its certificate', async () => {
    const asked: string[] = [];
    const server = await startTlsServer(
      {
        ...pair(certificates.stranger),
        SNICallback: (name, done) => {
          asked.push(name);
          done(
            null,
            createSecureContext(pair(name === 'elsewhere.test' ? certificates.wrongHost : certificates.server)),
          );
        },
      },
      { port: behind(scheme) },
    );
    const id = `sni-${scheme}`;
    for (const [host, serverName] of [['localhost'], ['127.0.0.1', 'elsewhere.test']] as const) {
      const tls = { ...trusting(), ...(serverName === undefined ? {} : { serverName }) };
      const answer = await open(id, `${scheme}://${host}:${server.port}`, tls);
      expect(answer.json).toMatchObject({ state: 'online' });
      await remove(id);
    }
    // An address is no server name: none is sent, and the certificate is the one for nobody in particular.
    expect((await open(id, `${scheme}://127.0.0.1:${server.port}`, trusting())).text).toContain('self-signed');
    expect(asked).toEqual(['localhost', 'elsewhere.test']);
    await server.stop();
  });

  it.each([{ alpn: ['x-amzn-mqtt-ca'] }, { alpn: ['mqtt', 'x-amzn-mqtt-ca'] }])('ALPN: $alpn', async ({ alpn }) => {
    const offered: string[][] = [];
    const server = await startTlsServer(
      {
        ...pair(certificates.server),
        // As AWS IoT Core on port 443: without this protocol there is nothing.
        ALPNCallback: ({ protocols }) => {
          offered.push(protocols);
          return protocols.find((protocol) => protocol === 'x-amzn-mqtt-ca');
        },
      },
      { port: behind(scheme), onSecure: (socket) => socket.alpnProtocol === 'x-amzn-mqtt-ca' || socket.destroy() },
    );
    const url = `${scheme}://localhost:${server.port}`;
    const id = `alpn-${scheme}`;
    expect((await open(id, url, { ...trusting(), alpn })).json).toMatchObject({ state: 'online' });
    await remove(id);
    expect((await open(id, url, trusting())).status).toBe(502);
    expect((await open(id, url, { ...trusting(), alpn: ['http/1.1'] })).text).toContain('tls.alpn');
    expect(offered).toEqual([alpn, ['http/1.1']]);
    await server.stop();
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('speaks %s', async (version) => {
    const spoken: (string | null)[] = [];
    const server = await startTlsServer(
      { ...pair(certificates.server), minVersion: version, maxVersion: version },
      { port: behind(scheme), onSecure: (socket) => spoken.push(socket.getProtocol()) },
    );
    const id = `version-${scheme}`;
    expect((await open(id, `${scheme}://localhost:${server.port}`, trusting())).status).toBe(201);
    expect(spoken).toEqual([version]);
    await remove(id);
    await server.stop();
  });
});

describe('what shows without the broker is 400', () => {
  it('names every fault', async () => {
    const { cert, key } = certificates.client;
    const answer = await open('faulty', broker.over('tls').url, {
      ca: cert.replace(/\nMII/, '\nXII'),
      cert: `${cert}${key}`,
      key: certificates.encryptedClientKey,
      passphrase: 'not this one',
      alpn: [''],
    });
    expect(answer.status).toBe(400);
    const pointers = ['/tls/ca', '/tls/cert', '/tls/passphrase', '/tls/alpn/0'];
    expect(answer.json).toMatchObject({ errors: pointers.map((pointer) => ({ pointer })) });
    expect(answer.text).not.toContain('not this one');
  });

  it('a key of another certificate, in a PATCH too', async () => {
    const { key } = certificates.stranger;
    const both = { ...trusting(), ...pair(certificates.client) };
    const refused = await open('other-key', broker.over('mutualTls').url, { ...both, key });
    expect(refused.json).toMatchObject({ status: 400, errors: [{ pointer: '/tls/key' }] });
    expect((await open('other-key', broker.over('mutualTls').url, both)).status).toBe(201);
    const patched = await bridge.request('PATCH', '/v1/connections/other-key', { json: { tls: { key } } });
    expect(patched.json).toMatchObject({ status: 400, errors: [{ pointer: '/tls/key' }] });
    await remove('other-key');
  });

  it('a certificate that has expired is a warning only, which stays', async () => {
    const expired = { name: 'late', commonName: 'late', days: -1, extensions: EXTENSIONS.client };
    const tls = { ...trusting(), ...pair(await certificates.issue(expired)) };
    // Nobody asks for it there.
    const answer = await open('expired', broker.over('tls').url, tls);
    const warnings = [{ code: 'client-certificate-not-valid', detail: expect.stringMatching(/expired on 20/) }];
    expect(answer.json).toMatchObject({ state: 'online', warnings });
    expect((await bridge.request('GET', '/v1/connections/expired')).json).toMatchObject({ warnings });
    await remove('expired');
  });
});

it('no key and no passphrase has been written to the log', () => {
  expect(bridge.output()).toContain('"level":');
  expect(bridge.output()).not.toMatch(/PRIVATE KEY|not this one/);
  expect(bridge.output()).not.toContain(certificates.passphrase);
});
