import { rootCertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { printConfig } from '../../../src/config/print.ts';
import { type Config, ConfigError, loadConfig } from '../../../src/config.ts';
import { createCertificates } from '../../helpers/certificates.ts';

const [CA = ''] = rootCertificates;
const KEY = Buffer.alloc(32, 1).toString('base64');

function load(variables: Record<string, string>, files: Record<string, string> = {}): Config {
  return loadConfig(variables, (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  });
}

function faults(variables: Record<string, string>, files: Record<string, string> = {}): readonly string[] {
  try {
    load(variables, files);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('configuration', () => {
  test('nothing set: the defaults of a laptop', () => {
    expect(load({})).toEqual({
      mode: 'gateway',
      host: '127.0.0.1',
      port: 8080,
      tls: null,
      store: { kind: 'sqlite', path: './data/bridge.db' },
      brokers: new Map(),
      devBroker: { host: '127.0.0.1', port: 1883 },
      brokerTls: { ca: null, allowUnverified: false },
      allowUrls: [],
      apiKey: null,
      secretKeys: null,
      nodeId: null,
      leaseTtlMs: 15_000,
      poolMax: 5_000,
      logLevel: 'info',
      maxPayload: 1_048_576,
      requireTls: false,
    });
    expect(Object.isFrozen(load({}))).toBe(true);
    expect(load({ PORT: '', HOST: '' })).toMatchObject({ host: '127.0.0.1', port: 8080 });
  });

  test('everything set', () => {
    const config = load({
      HOST: '0.0.0.0',
      PORT: '80',
      STORE_URL: 'redis://localhost:6379/1',
      STORE_PREFIX: 'p',
      STORE_MIN_REPLICAS: '1',
      MQTT_URL: 'mqtts://u%40x:p%3Aw@broker.example.com',
      ALLOW_URLS: 'mqtts://*.example.com:8883, ws://127.0.0.1:*',
      BRIDGE_API_KEY: 'k',
      BRIDGE_SECRET_KEY: `${KEY},${Buffer.alloc(32, 2).toString('base64')}`,
      NODE_ID: 'n',
      LEASE_TTL_MS: '5000',
      LOG_LEVEL: 'debug',
      MAX_PAYLOAD: '10',
      REQUIRE_TLS: 'true',
      TLS_CERT: 'c',
      TLS_KEY: 'k',
      BRIDGE_MODE: 'function',
    });
    expect(config).toMatchObject({
      mode: 'function',
      host: '0.0.0.0',
      port: 80,
      tls: { certFile: 'c', keyFile: 'k' },
      store: { kind: 'redis', url: 'redis://localhost:6379/1', prefix: 'p', minReplicas: 1 },
      devBroker: null,
      apiKey: 'k',
      nodeId: 'n',
      leaseTtlMs: 5000,
      logLevel: 'debug',
      maxPayload: 10,
      requireTls: true,
    });
    expect(config.brokers.get('default')).toEqual({
      urls: ['mqtts://broker.example.com'],
      username: 'u@x',
      password: Buffer.from('p:w'),
    });
    expect(config.secretKeys).toHaveLength(2);
    expect(config.allowUrls).toHaveLength(2);
  });

  test('every fault at once, each naming its variable', () => {
    const found = faults({
      HOST: '0.0.0.0',
      PORT: '65536',
      STORE_URL: 'mysql://x',
      MQTT_URL: 'http://x',
      ALLOW_URLS: 'x',
      BRIDGE_SECRET_KEY: 'short',
      LOG_LEVEL: 'loud',
      MAX_PAYLOAD: '1e3',
      REQUIRE_TLS: 'yes',
      TLS_CERT: 'c',
      BRIDGE_MODE: 'both',
      POOL_MAX: '0',
      CORS_ORIGINS: '*',
      ALLOW_WEBHOOKS: '*',
      MAX_STORE_BYTES: '1',
    });
    for (const name of [
      'HOST',
      'PORT',
      'STORE_URL',
      'MQTT_URL',
      'ALLOW_URLS',
      'BRIDGE_SECRET_KEY',
      'LOG_LEVEL',
      'MAX_PAYLOAD',
      'REQUIRE_TLS',
      'TLS_CERT',
      'BRIDGE_MODE',
      'POOL_MAX',
      'CORS_ORIGINS',
      'ALLOW_WEBHOOKS',
      'MAX_STORE_BYTES',
    ]) {
      expect(
        found.filter((fault) => fault.startsWith(name)),
        name,
      ).toHaveLength(1);
    }
    expect(found.filter((fault) => fault.includes('not available in this version'))).toHaveLength(3);
  });

  test('a host that others can reach needs a key', () => {
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'bridge.example.com']) {
      expect(faults({ HOST: host })[0]).toContain('set BRIDGE_API_KEY');
      expect(faults({ HOST: host, BRIDGE_API_KEY: 'k' })).toEqual([]);
    }
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) expect(faults({ HOST: host })).toEqual([]);
  });

  test('Redis needs a secret key, and a broker', () => {
    const found = faults({ STORE_URL: 'redis://localhost' });
    expect(found.map((fault) => fault.split(' ')[0])).toEqual(['BRIDGE_SECRET_KEY', 'MQTT_URL']);
    expect(load({ STORE_URL: 'redis://x', BRIDGE_SECRET_KEY: KEY, ALLOW_URLS: '*' }).devBroker).toBeNull();
  });

  test('function mode needs Redis, and has no development broker', () => {
    for (const variables of [{}, { STORE_URL: 'sqlite::memory:' }]) {
      expect(faults({ BRIDGE_MODE: 'function', ...variables })).toEqual([
        expect.stringMatching(/^BRIDGE_MODE.*STORE_URL/),
      ]);
    }
    const redis = { BRIDGE_MODE: 'function', STORE_URL: 'redis://x', BRIDGE_SECRET_KEY: KEY };
    expect(faults(redis)).toEqual([expect.stringMatching(/^MQTT_URL/)]);
    expect(load({ ...redis, MQTT_URL: 'mqtt://x' })).toMatchObject({ mode: 'function', devBroker: null });
  });

  test('credentials of a broker may be required to be encrypted', () => {
    expect(faults({ REQUIRE_TLS: 'true', MQTT_URL: 'mqtt://u:p@broker.example.com' })[0]).toContain('REQUIRE_TLS');
    for (const url of ['mqtt://u:p@localhost', 'mqtts://u:p@broker.example.com', 'mqtt://broker.example.com']) {
      expect(faults({ REQUIRE_TLS: 'true', MQTT_URL: url })).toEqual([]);
    }
  });

  test('no fault repeats the password of a URL', () => {
    for (const url of [
      'mqtt://u:hunter2@h?clientId=x',
      'xmqtt://u:hunter2@h',
      'mqtt://u:hunter2@h/path',
      'mqtt://u:hunter2@',
      'quic://u:hunter2@h?x',
    ]) {
      const found = faults({ MQTT_URL: url });
      expect(found).toHaveLength(1);
      expect(found.join()).not.toContain('hunter2');
    }
  });

  test('the file: YAML or JSON, brokers and allowUrls', () => {
    const yaml = `
brokers:
  plant:
    url: [mqtts://one.example.com, mqtts://two.example.com:8884]
    username: u
    password: { base64: AAE= }
    tls: { ca: { file: ca.pem }, alpn: [mqtt] }
  default: { url: "mqtt://u:p@localhost:1884" }
allowUrls: ["mqtts://*.example.com:8883"]
tls: { ca: { file: ca.pem }, allowUnverified: true }
`;
    const config = load({ BRIDGE_CONFIG: 'f', ALLOW_URLS: '*' }, { f: yaml, 'ca.pem': CA });
    expect(config.devBroker).toBeNull();
    expect(config.brokers.get('plant')).toEqual({
      urls: ['mqtts://one.example.com', 'mqtts://two.example.com:8884'],
      username: 'u',
      password: Buffer.from([0, 1]),
      tls: { ca: CA, alpn: ['mqtt'] },
    });
    expect(config.brokerTls).toEqual({ ca: CA, allowUnverified: true });
    expect(config.brokers.get('default')).toMatchObject({ urls: ['mqtt://localhost:1884'], username: 'u' });
    expect(config.allowUrls).toHaveLength(2);
    expect(load({ BRIDGE_CONFIG: 'f' }, { f: '{"allowUrls":["*"]}' }).allowUrls).toEqual(['*']);
    expect(load({ BRIDGE_CONFIG: 'f' }, { f: '' }).brokers.size).toBe(0);
  });

  test('faults of the file', () => {
    const of = (text: string, variables = {}) => faults({ BRIDGE_CONFIG: 'f', ...variables }, { f: text });
    expect(faults({ BRIDGE_CONFIG: 'missing' })[0]).toContain('cannot be read');
    expect(of('{')[0]).toContain('neither JSON nor YAML');
    expect(of('[]')[0]).toContain('not an object');
    expect(of('callers: [{ id: a }]')[0]).toContain('callers: is not available in this version');
    expect(of('brokers: { a: { url: "http://x" } }\nunknown: 1')).toHaveLength(2);
    expect(of('brokers: { a: { url: ["mqtt://x", "xmqtt://x"] } }')[0]).toContain('brokers.a.url.1: has a scheme');
    expect(of('brokers: { a: { url: ["mqtt://x", "quic://x"] } }')).toEqual([]);
    expect(of('brokers: { "a b": { url: "mqtt://x" } }')).toHaveLength(1);
    expect(of('allowUrls: [x]')[0]).toContain('allowUrls');
    expect(of('brokers: { a: { url: "mqtts://x", tls: { ca: C } } }\ntls: { ca: D, allowUnverified: 1 }')).toEqual([
      expect.stringContaining('brokers.a.tls.ca: `tls.ca` has no PEM block'),
      expect.stringContaining('tls.allowUnverified: '),
    ]);
    expect(of('tls: { ca: /etc/ca.pem }')[0]).toMatch(
      /^BRIDGE_CONFIG \(f\) tls\.ca: .*no PEM block.*; for a file write `\{ file: … \}`\.$/,
    );
    expect(of('tls: { ca: { file: gone.pem } }')[0]).toContain('tls.ca: names a file that cannot be read: ENOENT');
    expect(of('brokers: { default: { url: "mqtt://x" } }', { MQTT_URL: 'mqtt://y' })[0]).toContain('keep one');
  });

  test('printing masks every secret', async () => {
    const { client, encryptedClientKey, passphrase } = await createCertificates();
    const tls = { cert: client.cert, key: encryptedClientKey, passphrase };
    const config = load(
      {
        STORE_URL: 'redis://user:hunter2@h1/0',
        MQTT_URL: 'mqtt://u:hunter2@h',
        BRIDGE_API_KEY: 'hunter2',
        BRIDGE_SECRET_KEY: KEY,
        BRIDGE_CONFIG: 'f',
        ALLOW_URLS: 'ws://*:*',
      },
      {
        f: JSON.stringify({ brokers: { a: { url: 'wss://x', tls, websocket: { headers: { X: 'hunter2' } } } } }),
      },
    );
    const printed = printConfig(config);
    expect(printed).not.toContain('hunter2');
    expect(printed).not.toContain(KEY);
    expect(printed).not.toContain(passphrase);
    expect(printed).not.toContain('PRIVATE KEY');
    expect(JSON.parse(printed)).toMatchObject({
      store: { url: 'redis://***@h1/0' },
      brokers: {
        default: { urls: ['mqtt://h'], username: 'u', password: '***' },
        a: { tls: { cert: client.cert, key: '***', passphrase: '***' } },
      },
      allowUrls: ['ws://*:*'],
    });
  });
});
