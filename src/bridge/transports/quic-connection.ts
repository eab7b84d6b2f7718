import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import type { LookupAddress } from 'node:dns';
import type { TlsMaterial } from '../dependencies.ts';
import { MAX_DATAGRAM_BYTES, MAX_IDLE_MS } from './quic-config.ts';
import { closedByPeer, coded, failed } from './quic-errors.ts';
import type { Endpoint, Quiche, QuicheConfig, QuicheConnection } from './quic-package.ts';
import { BAD_CERTIFICATE, identityFault, localTlsError, peerTlsError, serverNameOf } from './quic-tls.ts';

/** The first bidirectional stream of the client: MQTT has no other. [RFC 9000 §2.1] */
const STREAM = 0;

const READ_BYTES = 16 * 1024;

/** In each idle time-out, ours or the broker's, so that neither ends a connection on which MQTT is idle. */
const PINGS = 3;
const MIN_PING_MS = 1_000;

const NO_BYTES = new Uint8Array(0);

export interface QuicOptions {
  readonly quiche: Quiche;
  readonly config: QuicheConfig;
  /** As it was named: the certificate is verified against it. */
  readonly host: string;
  readonly tls: TlsMaterial;
  /** Where the host is: nothing is resolved here. */
  readonly at: LookupAddress & { readonly port: number };
}

export interface QuicHandlers {
  /** The broker is who it should be, and something may be read or written. */
  onProgress(): void;
  /** Called at most once. Null: the broker closed it without an error. `close` is still to be called. */
  onEnd(error: Error | null): void;
}

/** One QUIC connection on a UDP socket of its own, with one stream. quiche has the protocol, this has the I/O. */
export class QuicConnection {
  /** Whether anything has come from there. */
  heard = false;
  readonly #options: QuicOptions;
  readonly #handlers: QuicHandlers;
  readonly #socket: Socket;
  readonly #remote: Endpoint;
  #local: Endpoint = { host: '', port: 0 };
  /** Null until the socket has an address. */
  #quic: QuicheConnection | null = null;
  #open = false;
  #ended = false;
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pings: NodeJS.Timeout | undefined;

  constructor(options: QuicOptions, handlers: QuicHandlers) {
    const { address, family, port } = options.at;
    this.#options = options;
    this.#handlers = handlers;
    this.#remote = { host: address, port };
    this.#socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    this.#socket.on('error', (error) => this.#onSocketError(error));
    this.#socket.on('message', (datagram) => this.#receive(datagram));
    this.#socket.once('connect', () => this.#start());
    // Connected, it takes datagrams from there only, and hears that nothing listens there.
    this.#socket.connect(port, address);
  }

  #start(): void {
    if (this.#ended) return;
    const { quiche, config, host, tls } = this.#options;
    const { address, port } = this.#socket.address();
    this.#local = { host: address, port };
    const id = randomBytes(quiche.MAX_CONN_ID_LEN);
    this.#attempt(() => {
      this.#quic = quiche.Connection.connect(serverNameOf(host, tls), id, this.#local, this.#remote, config);
    });
    this.wake();
  }

  /** Takes what has come on the stream; null when there is nothing now. */
  read(): { bytes: Buffer; fin: boolean } | null {
    const quic = this.#usable();
    if (quic === null || !quic.streamReadable(STREAM)) return null;
    const into = Buffer.allocUnsafe(READ_BYTES);
    const got = this.#attempt(() => quic.streamRecv(STREAM, into));
    if (got === undefined || got === null) return null;
    // The broker may send on once it is told that there is room again.
    this.wake();
    // A short packet must not hold on to a long buffer.
    return { bytes: Buffer.from(into.subarray(0, got[0])), fin: got[1] };
  }

  /** Sends bytes on the stream; answers how many it had room for, null when it is not open. */
  write(bytes: Uint8Array, fin: boolean): number | null {
    const quic = this.#usable();
    if (quic === null) return null;
    return this.#attempt(() => quic.streamSend(STREAM, bytes, fin)) ?? (bytes.length === 0 ? null : 0);
  }

  /** Does all there is to do, once, after what else happens in this turn of the event loop. */
  wake(): void {
    if (!this.#ended) this.#turn ??= setImmediate(() => this.#advance());
  }

  /** Tells the broker and frees everything. Calls back when the socket is closed. */
  close(done: () => void): void {
    this.#stop();
    const quic = this.#quic;
    if (quic !== null) {
      this.#attempt(() => {
        quic.close(true, 0, NO_BYTES);
        this.#send(quic);
      });
    }
    this.#socket.close(done);
  }

  #usable(): QuicheConnection | null {
    return this.#open && !this.#ended ? this.#quic : null;
  }

  #advance(): void {
    this.#turn = undefined;
    const quic = this.#quic;
    if (quic === null || this.#ended) return;
    if (!this.#open && quic.isEstablished()) this.#attempt(() => this.#admit(quic));
    if (this.#open) this.#handlers.onProgress();
    if (this.#ended) return;
    this.#attempt(() => this.#send(quic));
    this.#endIfOver(quic);
  }

  /** The handshake is over: goes on only with the broker that was meant. */
  #admit(quic: QuicheConnection): void {
    const fault = this.#identityFault(quic);
    if (fault !== null) {
      this.#attempt(() => {
        quic.close(false, BAD_CERTIFICATE, NO_BYTES);
        this.#send(quic);
      });
      this.#end(fault);
      return;
    }
    this.#open = true;
    this.#pings = setInterval(
      () => {
        this.#attempt(() => quic.sendAckEliciting());
        this.wake();
      },
      Math.max(MIN_PING_MS, idleTimeout(quic) / PINGS),
    );
  }

  #identityFault(quic: QuicheConnection): Error | null {
    return identityFault(this.#options.host, this.#options.tls, quic.peerCertChain()?.[0]);
  }

  #receive(datagram: Buffer): void {
    this.heard = true;
    const quic = this.#quic;
    if (quic === null || this.#ended) return;
    try {
      quic.recv(datagram, { from: this.#remote, to: this.#local });
      this.wake();
    } catch (error) {
      // It has closed itself; the broker is told why.
      this.#attempt(() => this.#send(quic));
      this.#attempt(() => this.#end(this.#ownFailure(quic, error as Error)));
    }
  }

  #ownFailure(quic: QuicheConnection, error: Error): Error {
    const reason = quic.localError();
    if (reason === null || error.message !== 'TlsFail') return failed(error);
    // Node's own check says which names the certificate has.
    const identity = reason.errorCode === BAD_CERTIFICATE ? this.#identityFault(quic) : null;
    return identity ?? localTlsError(reason);
  }

  /** Hands all datagrams that are due to the socket, and sets the clock for the next ones. */
  #send(quic: QuicheConnection): void {
    for (;;) {
      const datagram = Buffer.allocUnsafe(MAX_DATAGRAM_BYTES);
      const sent = quic.send(datagram);
      if (sent === null) break;
      this.#socket.send(datagram.subarray(0, sent[0]), (error) => {
        if (error !== null) this.#onSocketError(error);
      });
    }
    clearTimeout(this.#timer);
    const timeout = this.#ended ? null : quic.timeout();
    if (timeout === null) return;
    this.#timer = setTimeout(() => {
      this.#attempt(() => quic.onTimeout());
      this.wake();
    }, timeout + 1);
  }

  #onSocketError(error: Error & { code?: string }): void {
    const { code = 'ERR_QUIC_CONNECTION' } = error;
    // Later a datagram that does not leave is one that gets lost; but when nothing listens there any more, it is over.
    if (this.#open && code !== 'ECONNREFUSED') return;
    const { host: address, port } = this.#remote;
    // What the system says of a datagram does not name the peer.
    this.#end(Object.assign(error, { code, syscall: 'connect', address, port }));
  }

  #endIfOver(quic: QuicheConnection): void {
    const theirs = quic.peerError();
    if (theirs !== null) this.#end(peerTlsError(theirs) ?? closedByPeer(theirs));
    else if (quic.isTimedOut())
      this.#end(coded('ETIMEDOUT', `The broker was silent for ${idleTimeout(quic) / 1000} s`));
    else if (quic.isClosed()) this.#end(null);
  }

  /** quiche throws where the peer does what it may not; that ends the connection, not the process. */
  #attempt<T>(step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      this.#end(failed(error as Error));
      return undefined;
    }
  }

  #end(error: Error | null): void {
    if (this.#ended) return;
    this.#stop();
    this.#handlers.onEnd(error);
  }

  #stop(): void {
    this.#ended = true;
    clearImmediate(this.#turn);
    clearTimeout(this.#timer);
    clearInterval(this.#pings);
  }
}

/** Milliseconds: the broker's when it is shorter than ours; 0 of the broker is none. [RFC 9000 §10.1] */
function idleTimeout(quic: QuicheConnection): number {
  const theirs = quic.stats().peerMaxIdleTimeout;
  return theirs === 0 ? MAX_IDLE_MS : Math.min(theirs, MAX_IDLE_MS);
}
