import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const FOLDER = 'quic';
const MANIFEST = 'node_modules/@infisical/quic/package.json';
/** Its binding to quiche alone: the classes around it throw what a peer does wrong as uncaught exceptions. */
const BINDING = '@infisical/quic/dist/native/quiche.js';

/** How far up the folder may be: from this file in `src`, and from the bundle in `dist`, it is beside package.json. */
const LEVELS = 3;

/** An IP address and a port. */
export interface Endpoint {
  host: string;
  port: number;
}

/** Why a connection is closed: a transport error, or with `isApp` one of the application's own. [RFC 9000 §20] */
export interface CloseReason {
  isApp: boolean;
  errorCode: number;
  reason: Uint8Array;
}

/** The state of a QUIC connection without any I/O; functions throw `Error` with the name of quiche's error as message. */
export interface QuicheConnection {
  /** Decrypts in place. */
  recv(datagram: Uint8Array, path: { from: Endpoint; to: Endpoint }): number;
  /** Null when there is nothing to send. */
  send(datagram: Uint8Array): readonly [length: number, ...unknown[]] | null;
  /** Milliseconds; null: no timer is needed. */
  timeout(): number | null;
  onTimeout(): void;
  /** Null when nothing fits. */
  streamSend(stream: number, bytes: Uint8Array, fin: boolean): number | null;
  streamRecv(stream: number, into: Uint8Array): readonly [length: number, fin: boolean] | null;
  streamReadable(stream: number): boolean;
  sendAckEliciting(): void;
  close(app: boolean, errorCode: number, reason: Uint8Array): unknown;
  isEstablished(): boolean;
  isClosed(): boolean;
  isTimedOut(): boolean;
  peerCertChain(): readonly Uint8Array[] | null;
  localError(): CloseReason | null;
  peerError(): CloseReason | null;
  stats(): { peerMaxIdleTimeout: number };
}

export interface QuicheConfig {
  setApplicationProtos(protocols: readonly string[]): void;
  setMaxIdleTimeout(milliseconds: number): void;
  setMaxRecvUdpPayloadSize(bytes: number): void;
  setMaxSendUdpPayloadSize(bytes: number): void;
  setInitialMaxData(bytes: number): void;
  setInitialMaxStreamDataBidiLocal(bytes: number): void;
  setInitialMaxStreamDataBidiRemote(bytes: number): void;
  setInitialMaxStreamsBidi(streams: number): void;
  setDisableActiveMigration(disable: boolean): void;
}

/** The part of the binding that is used. */
export interface Quiche {
  readonly MAX_CONN_ID_LEN: number;
  readonly Config: {
    /** PEM throughout; `ca` undefined: what BoringSSL finds by itself. */
    withBoringSslCtx(
      verifyPeer: boolean,
      verifyAllowFail: boolean,
      ca: Uint8Array | undefined,
      key: Uint8Array[] | undefined,
      cert: Uint8Array[] | undefined,
    ): QuicheConfig;
  };
  readonly Connection: {
    /** A server name is sent (SNI), and the certificate is verified against it. */
    connect(
      serverName: string | null,
      id: Uint8Array,
      local: Endpoint,
      remote: Endpoint,
      config: QuicheConfig,
    ): QuicheConnection;
    accept(
      id: Uint8Array,
      originalId: Uint8Array | null,
      local: Endpoint,
      remote: Endpoint,
      config: QuicheConfig,
    ): QuicheConnection;
  };
}

/** The optional package is not there, or does not load. */
export class QuicNotAvailable extends Error {
  override readonly name = 'QuicNotAvailable';
}

/** The nearest folder `quic`, from the program's own upwards, that has the package; null when it is not installed. */
function findFolder(): string | null {
  let above = import.meta.dirname;
  for (let level = 0; level <= LEVELS; level += 1) {
    const folder = join(above, FOLDER);
    if (existsSync(join(folder, MANIFEST))) return folder;
    above = dirname(above);
  }
  return null;
}

/** Whether the optional package is installed; it is not loaded for this. */
export function isQuicInstalled(): boolean {
  return findFolder() !== null;
}

/** Loads the package at its first use. Throws `QuicNotAvailable`. */
export function loadQuiche(): Quiche {
  const folder = findFolder();
  if (folder === null) {
    throw new QuicNotAvailable('The optional package for QUIC is not installed: npm run quic:install');
  }
  try {
    return createRequire(join(folder, 'package.json'))(BINDING).default;
  } catch (cause) {
    const { message } = cause as Error;
    throw new QuicNotAvailable(`The optional package for QUIC does not load: ${message}`, { cause });
  }
}
