import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, type Environment, launchBridge, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Certificates, createCertificates, EXTENSIONS } from '../helpers/certificates.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

let certificates: Certificates;
let broker: Mosquitto;

beforeAll(async () => {
  certificates = await createCertificates();
  broker = await startMosquitto({ listeners: ['tls', 'mutualTls', 'wss'], certificates });
});

afterAll(async () => {
  await broker?.stop();
});

function configFile(content: object): Environment {
  const path = join(temporaryDirectory('operator'), 'bridge.json');
  writeFileSync(path, JSON.stringify(content));
  return { BRIDGE_CONFIG: path };
}

async function withBridge(env: Environment, run: (bridge: BridgeProcess) => Promise<void>): Promise<void> {
  const bridge = await startBridgeProcess({ env });
  try {
    await run(bridge);
  } finally {
    await bridge.stop();
  }
}

const open = (bridge: BridgeProcess, json: object) =>
  bridge.request('POST', '/v1/connections', { json: { id: 'c', connectTimeout: 5, ...json } });
const remove = async (bridge: BridgeProcess) =>
  expect((await bridge.request('DELETE', '/v1/connections/c')).status).toBe(204);

describe('a CA of the operator', () => {
  const profile = () => ({ default: { url: broker.over('tls').url } });

  it.each([
    { what: 'a file that `tls` of BRIDGE_CONFIG names', ca: () => ({ file: certificates.ca.certFile }) },
    { what: 'PEM', ca: () => certificates.ca.cert },
  ])('in $what is trusted for profiles and for callers who name none', async ({ ca }) => {
    const content = { brokers: profile(), allowUrls: ['mqtts://localhost:*', 'wss://localhost:*'], tls: { ca: ca() } };
    await withBridge(configFile(content), async (bridge) => {
      const urls = (['tls', 'wss'] as const).map((listener) => ({ url: broker.over(listener).url }));
      for (const document of [{}, ...urls]) {
        expect((await open(bridge, document)).json).toMatchObject({ state: 'online' });
        await remove(bridge);
      }
      // Who names a CA trusts that one only.
      const own = await open(bridge, { ...urls[0], tls: { ca: certificates.stranger.cert } });
      expect(own.json).toMatchObject({ status: 502, type: '/problems/tls-failed' });
      // It is no licence for what else may be wrong, nor to do without verification.
      const unverified = await open(bridge, { ...urls[0], tls: { rejectUnauthorized: false } });
      expect(unverified.json).toMatchObject({ status: 400, errors: [{ pointer: '/tls/rejectUnauthorized' }] });
    });
  });

  it('in NODE_EXTRA_CA_CERTS is trusted, beside that of BRIDGE_CONFIG', async () => {
    const content = { brokers: profile(), tls: { ca: certificates.stranger.cert } };
    const env = { ...configFile(content), NODE_EXTRA_CA_CERTS: certificates.ca.certFile };
    await withBridge(env, async (bridge) => {
      expect((await open(bridge, {})).json).toMatchObject({ state: 'online' });
    });
  });
});

it('an operator may let callers do without verification', async () => {
  const content = { allowUrls: ['mqtts://localhost:*'], brokers: { default: { url: broker.over('tcp').url } } };
  await withBridge(configFile({ ...content, tls: { allowUnverified: true } }), async (bridge) => {
    const url = broker.over('tls').url;
    expect((await open(bridge, { url })).status).toBe(502);
    const answer = await open(bridge, { url, tls: { rejectUnauthorized: false } });
    expect(answer.json).toMatchObject({ state: 'online', warnings: [{ code: 'certificate-not-verified' }] });
  });
});

describe('a profile with a client certificate', () => {
  const withTls = (tls: object) => ({
    brokers: {
      default: { url: broker.over('mutualTls').url, tls: { ca: { file: certificates.ca.certFile }, ...tls } },
    },
  });

  it('from files', async () => {
    const { certFile, keyFile } = certificates.client;
    await withBridge(configFile(withTls({ cert: { file: certFile }, key: { file: keyFile } })), async (bridge) => {
      expect((await open(bridge, {})).json).toMatchObject({ state: 'online' });
    });
  });

  it('that has expired starts, and says so', async () => {
    const { cert, key } = await certificates.issue({
      ...{ name: 'late', commonName: 'late', days: -1 },
      extensions: EXTENSIONS.client,
    });
    await withBridge(configFile(withTls({ cert, key })), async (bridge) => {
      expect(bridge.output()).toMatch(/"broker":"default".*the client certificate for this broker expired on 20/);
    });
  });

  it('that is faulty does not start, and names every fault', async () => {
    const { cert } = certificates.client;
    const content = {
      brokers: {
        one: { url: 'mqtts://h', tls: { cert, key: certificates.encryptedClientKey, passphrase: 'not this one' } },
        two: { url: 'mqtts://h', tls: { cert, key: certificates.stranger.key, ca: 'x' } },
        three: { url: 'mqtts://h', tls: { cert: { file: '/nowhere.pem' } } },
        four: { url: 'mqtts://h', tls: { cert } },
      },
      tls: { ca: 'x' },
    };
    const bridge = await launchBridge(temporaryDirectory('bridge'), { PORT: '0', ...configFile(content) });
    expect(await bridge.exited).toMatchObject({ code: 78 });
    for (const fault of [
      /brokers\.one\.tls\.passphrase: The passphrase does not decrypt the key\.\n/,
      /brokers\.two\.tls\.key: The key is not that of the certificate/,
      /brokers\.two\.tls\.ca: .*no PEM block/,
      /brokers\.three\.tls\.cert: names a file that cannot be read: .*\/nowhere\.pem/,
      /brokers\.four\.tls: has one of cert and key/,
      /\) tls\.ca: .*no PEM block/,
    ]) {
      expect(bridge.output()).toMatch(fault);
    }
    expect(bridge.output()).not.toMatch(/not this one|PRIVATE KEY/);
  });
});
