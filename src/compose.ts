import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { createBridge } from './bridge/bridge.ts';
import type { BrokerProfile, Log } from './bridge/dependencies.ts';
import type { Bridge, ValidatedConnection } from './bridge/facade.ts';
import type { Store } from './bridge/ports.ts';
import { createSecretBox } from './bridge/secret-box.ts';
import { isUrlAllowed } from './config/url-patterns.ts';
import type { Config } from './config.ts';
import type { DevBroker } from './dev-broker.ts';
import { type ConnectionContext, validateConnection } from './schemas/connection-rules.ts';
import { loadOrCreateKey } from './secret-key-file.ts';

/** Seconds beyond the lease time until another instance has taken a dead one's Connections over. */
const FAIL_OVER_MARGIN = 5;
const SECRET_KEY_FILE = 'secret.key';

export interface Composition {
  readonly bridge: Bridge;
  readonly store: Store;
  readonly devBroker: DevBroker | null;
  readonly validateConnection: (document: unknown) => ValidatedConnection;
  /** Stops the bridge, then closes what it stood on. Idempotent. */
  close(): Promise<void>;
}

/**
 * The composition root: the only place that knows which store and which broker there are. What is not used is not
 * loaded. Rejects with one clear sentence, and leaves nothing open, when a part cannot start.
 */
export async function compose(config: Config, log: Log): Promise<Composition> {
  const store = await openStore(config, log);
  let devBroker: DevBroker | null = null;
  try {
    const secretBox = createSecretBox(config.secretKeys ?? [keyBesideStore(config, log)]);
    devBroker = await startBroker(config, log);
    const brokers = profiles(config, devBroker);
    const context = connectionContext(config, brokers);
    const validate = (document: unknown) => validateConnection(document, context);
    const { nodeId, leaseTtlMs, maxPayload } = config;
    const bridge = createBridge({ store, brokers, secretBox, validate, nodeId, leaseTtlMs, maxPayload, log });
    return { bridge, store, devBroker, validateConnection: validate, close: closeOnce(bridge, store, devBroker) };
  } catch (error) {
    await Promise.allSettled([store.close(), devBroker?.close()]);
    throw error;
  }
}

async function openStore({ store, nodeId }: Config, log: Log): Promise<Store> {
  if (store.kind === 'sqlite') {
    const { openSqliteStore } = await import('./store/sqlite/index.ts');
    return openSqliteStore({ path: store.path });
  }
  const { openRedisStore } = await import('./store/redis/index.ts');
  const { url, prefix, minReplicas } = store;
  return openRedisStore({ url, prefix, minReplicas, nodeId, log });
}

function keyBesideStore({ store }: Config, log: Log): Uint8Array {
  if (store.kind !== 'sqlite' || store.path === ':memory:') return randomBytes(32);
  const path = join(dirname(store.path), SECRET_KEY_FILE);
  const { key, created } = loadOrCreateKey(path);
  if (created) log.info({ path }, 'made the key that encrypts credentials at rest: back it up with the store');
  return key;
}

async function startBroker({ devBroker }: Config, log: Log): Promise<DevBroker | null> {
  if (devBroker === null) return null;
  const { startDevBroker } = await import('./dev-broker.ts');
  const started = await startDevBroker(devBroker);
  log.warn({ url: started.url }, 'the embedded MQTT broker is for development: it keeps all in memory; set MQTT_URL');
  return started;
}

function profiles(config: Config, devBroker: DevBroker | null): ReadonlyMap<string, BrokerProfile> {
  return devBroker === null ? config.brokers : new Map([...config.brokers, ['default', { urls: [devBroker.url] }]]);
}

function connectionContext(config: Config, brokers: ReadonlyMap<string, BrokerProfile>): ConnectionContext {
  return {
    brokers: new Set(brokers.keys()),
    urlAllowed: (url) =>
      isUrlAllowed(config.allowUrls, url.href) ? null : 'The operator allows no such broker URL here (ALLOW_URLS).',
    requireTls: config.requireTls,
    allowInsecureTls: false,
    defaultHold: 'always',
    quicAvailable: false,
    maxPayload: config.maxPayload,
    ...(config.store.kind === 'redis' ? { failOver: config.leaseTtlMs / 1000 + FAIL_OVER_MARGIN } : {}),
  };
}

function closeOnce(bridge: Bridge, store: Store, devBroker: DevBroker | null): () => Promise<void> {
  let closing: Promise<void> | null = null;
  const close = async () => {
    try {
      await bridge.stop();
    } finally {
      await store.close();
      await devBroker?.close();
    }
  };
  return () => {
    closing ??= close();
    return closing;
  };
}
