import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import tls from 'node:tls';
import type { BridgeDependencies, BrokerProfile, Log } from './bridge/dependencies.ts';
import type { Bridge, ValidatedConnection } from './bridge/facade.ts';
import { createFrameBox } from './bridge/fleet/frame-box.ts';
import { functionNodeId, randomNodeId } from './bridge/fleet/node-ids.ts';
import { createLateBridge, type OpenBridge } from './bridge/late-bridge.ts';
import type { Store } from './bridge/ports.ts';
import { createSecretBox } from './bridge/secret-box.ts';
import { isQuicInstalled, loadQuiche } from './bridge/transports/quic-package.ts';
import { isUrlAllowed } from './config/url-patterns.ts';
import type { Config } from './config.ts';
import type { DevBroker } from './dev-broker.ts';
import { isPlaintextOverNetwork } from './mqtt/broker-schemes.ts';
import { once } from './once.ts';
import { type ConnectionContext, validateConnection } from './schemas/connection-rules.ts';
import { asksForQuic } from './schemas/rules/broker.ts';
import { loadOrCreateKey } from './secret-key-file.ts';
import { certificatesIn, validityCaution } from './tls/material.ts';

/** Seconds beyond the lease time until another instance has taken a dead one's Connections over. */
const FAIL_OVER_MARGIN = 5;
const SECRET_KEY_FILE = 'secret.key';
/** Of a Connection that does not say. A function's becomes `onDemand` when that is available. */
const DEFAULT_HOLD = { gateway: 'always', function: 'onDemand' } as const;

export interface Composition {
  readonly bridge: Bridge;
  readonly devBroker: DevBroker | null;
  readonly validateConnection: (document: unknown) => ValidatedConnection;
  /** Stops the bridge, see `Bridge.stop`, then closes what it stood on. Idempotent. */
  close(leaveInMs?: number): Promise<void>;
}

/** A store, and as whom this instance is known in it. */
interface OpenStore {
  readonly store: Store;
  readonly nodeId: string;
}

/**
 * The composition root: the only place that knows which store and which broker there are. What is not used is not
 * loaded. Rejects with one clear sentence, and leaves nothing open, when a part cannot start.
 */
export async function compose(
  config: Config,
  log: Log,
  ending: BridgeDependencies['ending'] = () => null,
): Promise<Composition> {
  trustCas(config.brokerTls.ca);
  warnOfCertificates(config, log);
  // A file that cannot be used will not mend by itself; a server may come up after the bridge.
  const file = config.store.kind === 'sqlite' ? await openStore(config, log) : null;
  let devBroker: DevBroker | null = null;
  try {
    const secretKeys = config.secretKeys ?? [keyBesideStore(config, log)];
    requireQuic(config);
    devBroker = await startBroker(config, log);
    const brokers = profiles(config, devBroker);
    const context = connectionContext(config, brokers, log);
    const validate: BridgeDependencies['validate'] = (document, { stored } = { stored: false }) =>
      validateConnection(document, context(stored));
    const { mode, leaseTtlMs, poolMax, maxPayload } = config;
    const open = async ({ store, nodeId }: OpenStore) =>
      bridgeOn({
        store,
        brokers,
        secretBox: createSecretBox(secretKeys),
        frameBox: createFrameBox(secretKeys),
        validate,
        isUrlAllowed: (url: string) =>
          isUrlAllowed(config.allowUrls, url) && !(config.requireTls && isPlaintextOverNetwork(url)),
        mode,
        holder: { nodeId, process: randomBytes(9).toString('base64url') },
        leaseTtlMs,
        poolMax,
        maxPayload,
        ending,
        log,
      });
    const { bridge, close } =
      file === null ? createLateBridge(async () => open(await openStore(config, log)), log) : await open(file);
    return {
      bridge,
      devBroker,
      validateConnection: (document) => validate(document),
      close: once((leaveInMs?: number) =>
        inTurn(
          () => close(leaveInMs),
          async () => devBroker?.close(),
        ),
      ),
    };
  } catch (error) {
    await Promise.allSettled([file?.store.close(), devBroker?.close()]);
    throw error;
  }
}

async function bridgeOn(dependencies: BridgeDependencies): Promise<OpenBridge> {
  const { store } = dependencies;
  const { createBridge } = await import('./bridge/bridge.ts');
  const bridge = createBridge(dependencies);
  return {
    bridge,
    close: once((leaveInMs?: number) =>
      inTurn(
        () => bridge.stop(leaveInMs),
        () => store.close(),
      ),
    ),
  };
}

/**
 * Trusts the operator's CAs beside those of Node (NODE_EXTRA_CA_CERTS included), in the whole process: only its defaults
 * are parsed once for all sockets, a list of one's own is parsed for each.
 */
function trustCas(ca: string | null): void {
  if (ca === null) return;
  if (!('setDefaultCACertificates' in tls)) throw new Error('`tls.ca` in BRIDGE_CONFIG needs Node 22.19 or newer.');
  tls.setDefaultCACertificates([...new Set([...tls.getCACertificates('default'), ...certificatesIn(ca)])]);
}

/** A client certificate that is not valid now does not stop the start: other brokers may be in order. */
function warnOfCertificates({ brokers }: Config, log: Log): void {
  for (const [broker, { tls: own }] of brokers) {
    const caution = validityCaution(own?.cert ?? '');
    if (caution !== null) log.warn({ broker }, `the client certificate for this broker ${caution}`);
  }
}

async function openStore(config: Config, log: Log): Promise<OpenStore> {
  const { store, mode } = config;
  const nodeId = mode === 'function' ? functionNodeId() : (config.nodeId ?? randomNodeId());
  if (store.kind === 'sqlite') {
    const { openSqliteStore } = await import('./store/sqlite/index.ts');
    return { nodeId, store: openSqliteStore({ path: store.path }) };
  }
  const { openRedisStore } = await import('./store/redis/index.ts');
  const { url, prefix, minReplicas } = store;
  return { nodeId, store: await openRedisStore({ url, prefix, minReplicas, nodeId, log }) };
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

/** A broker of the operator's that can never be reached is found at the start. */
function requireQuic({ brokers }: Config): void {
  for (const [name, { urls }] of brokers) {
    if (!asksForQuic(urls)) continue;
    try {
      loadQuiche();
    } catch (cause) {
      throw new Error(`The broker "${name}" is reached by QUIC. ${(cause as Error).message}`, { cause });
    }
  }
}

function isQuicAvailable(log: Log): boolean {
  if (!isQuicInstalled()) return false;
  try {
    loadQuiche();
    return true;
  } catch (error) {
    log.error({ err: error }, 'the optional package for QUIC is installed, but does not load');
    return false;
  }
}

function profiles(config: Config, devBroker: DevBroker | null): ReadonlyMap<string, BrokerProfile> {
  return devBroker === null ? config.brokers : new Map([...config.brokers, ['default', { urls: [devBroker.url] }]]);
}

function connectionContext(
  config: Config,
  brokers: ReadonlyMap<string, BrokerProfile>,
  log: Log,
): (stored: boolean) => ConnectionContext {
  return (stored) => ({
    stored,
    brokers: new Set(brokers.keys()),
    plaintextBrokers: new Set(
      [...brokers].filter(([, { urls }]) => urls.some(isPlaintextOverNetwork)).map(([name]) => name),
    ),
    urlAllowed: (url) =>
      isUrlAllowed(config.allowUrls, url.href) ? null : 'The operator allows no such broker URL here (ALLOW_URLS).',
    requireTls: config.requireTls,
    allowInsecureTls: config.brokerTls.allowUnverified,
    defaultHold: DEFAULT_HOLD[config.mode],
    // Asked only about documents that want it: the package is loaded when it is used.
    get quicAvailable() {
      return isQuicAvailable(log);
    },
    maxPayload: config.maxPayload,
    ...(config.store.kind === 'redis' ? { failOver: config.leaseTtlMs / 1000 + FAIL_OVER_MARGIN } : {}),
  });
}

/** The second also when the first fails. */
async function inTurn(first: () => Promise<void>, second: () => Promise<void>): Promise<void> {
  try {
    await first();
  } finally {
    await second();
  }
}
