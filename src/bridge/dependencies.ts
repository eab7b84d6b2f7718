import type { ValidatedConnection } from './facade.ts';
import type { FrameBox } from './fleet/frame-box.ts';
import type { Holder, Store } from './ports.ts';

/** An operator-named broker: where it is and how to authenticate. It holds no ClientID, Will or subscriptions. */
export interface BrokerProfile {
  /** Tried in turn. */
  urls: readonly string[];
  username?: string;
  password?: Uint8Array;
  tls?: TlsMaterial;
  websocketHeaders?: Readonly<Record<string, string>>;
}

export interface TlsMaterial {
  /** PEM. */
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  passphrase?: string | undefined;
  serverName?: string | undefined;
  alpn?: readonly string[] | undefined;
  /** True unless the operator allowed otherwise. */
  rejectUnauthorized?: boolean | undefined;
}

/** Encrypts what must not be readable at rest. `context` is authenticated with it, so that a value cannot be moved. */
export interface SecretBox {
  seal(plain: string, context: string): string;
  open(sealed: string, context: string): string;
}

/** The part of a logger that the bridge uses; Fastify's (pino's) fits. */
export interface Log {
  debug(details: object, text: string): void;
  info(details: object, text: string): void;
  warn(details: object, text: string): void;
  error(details: object, text: string): void;
}

/** Everything that the bridge needs from outside; the composition root provides it. */
export interface BridgeDependencies {
  store: Store;
  brokers: ReadonlyMap<string, BrokerProfile>;
  secretBox: SecretBox;
  frameBox: FrameBox;
  /**
   * Validates a whole Connection document; throws a `Problem` that names every fault. One that is `stored` has been
   * validated before: what is slow to judge is not judged again.
   */
  validate: (document: unknown, options?: { stored: boolean }) => ValidatedConnection;
  /** Whether the operator lets a broker send its clients to this URL (Server Reference). */
  isUrlAllowed: (url: string) => boolean;
  /** `gateway`: a process that stays; `function`: one that may be frozen, or gone, whenever it has answered. */
  mode: 'gateway' | 'function';
  /** This process: whom its leases belong to. */
  holder: Holder;
  leaseTtlMs: number;
  /** Connections that may be attached here at the same time. */
  poolMax: number;
  /** Bytes; a longer inbound payload is kept as an `oversize` record. */
  maxPayload: number;
  /**
   * Aborted, with a `Problem`, shortly before the platform ends the invocation that the running code belongs to; null
   * where nothing does.
   */
  ending: () => AbortSignal | null;
  log: Log;
}
