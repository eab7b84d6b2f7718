import { createBridge } from '../../src/bridge/bridge.ts';
import type { BrokerProfile, Log } from '../../src/bridge/dependencies.ts';
import type { Bridge, ReadPage, ValidatedConnection } from '../../src/bridge/facade.ts';
import { createFrameBox } from '../../src/bridge/fleet/frame-box.ts';
import type { Store } from '../../src/bridge/ports.ts';
import { createSecretBox } from '../../src/bridge/secret-box.ts';
import type { OutgoingMessage, QoS } from '../../src/mqtt/message.ts';
import { validateConnection } from '../../src/schemas/connection-rules.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';

export interface TestBridge extends Bridge {
  readonly store: Store;
  /** Stops the bridge and closes the store. */
  end(): Promise<void>;
}

const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A bridge in this process, over an in-memory SQLite store unless another is given. Not started. */
export async function createTestBridge(options: {
  url: string;
  store?: Store;
  profile?: Partial<BrokerProfile>;
  maxPayload?: number;
  mode?: 'gateway' | 'function';
  nodeId?: string;
  leaseTtlMs?: number;
  poolMax?: number;
  /** Where brokers may send their clients; nowhere when not said. */
  isUrlAllowed?: (url: string) => boolean;
  /** Of the invocation that the bridge is asked in; none ends when not said. */
  ending?: () => AbortSignal | null;
}): Promise<TestBridge> {
  const store = options.store ?? (await openSqliteStore({ path: ':memory:' }));
  const maxPayload = options.maxPayload ?? 1024 * 1024;
  const bridge = createBridge({
    store,
    brokers: new Map([['default', { urls: [options.url], ...options.profile }]]),
    secretBox: createSecretBox([Buffer.alloc(32, 7)]),
    frameBox: createFrameBox([Buffer.alloc(32, 7)]),
    validate: valid,
    isUrlAllowed: options.isUrlAllowed ?? (() => false),
    mode: options.mode ?? 'gateway',
    holder: { nodeId: options.nodeId ?? 'test', process: options.nodeId ?? 'test' },
    leaseTtlMs: options.leaseTtlMs ?? 15_000,
    poolMax: options.poolMax ?? 5_000,
    maxPayload,
    ending: options.ending ?? (() => null),
    log: SILENT,
  });
  const end = async () => {
    await bridge.stop();
    await store.close();
  };
  return { ...bridge, store, end };
}

/** A document as the API would validate it; every URL is allowed. */
export function valid(document: unknown): ValidatedConnection {
  return validateConnection(document, {
    brokers: new Set(['default']),
    urlAllowed: () => null,
    plaintextBrokers: new Set(),
    requireTls: false,
    allowInsecureTls: false,
    defaultHold: 'always',
    quicAvailable: true,
    maxPayload: 1024 * 1024,
  });
}

export function message(topic: string, payload: string | Buffer, qos: QoS = 0): OutgoingMessage {
  return { topic, payload: Buffer.from(payload), qos, retain: false };
}

/** Reads from the queue; waits up to `waitMs` for the first message. */
export function read(bridge: Bridge, id: string, waitMs = 0, after: string | null = null): Promise<ReadPage> {
  const signal = new AbortController().signal;
  return bridge.readMessages(id, { after, limit: 1000, waitMs, filter: null, drain: false, signal });
}
