import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6, type Socket } from 'node:net';
import {
  type Endpoint,
  loadQuiche,
  type QuicheConfig,
  type QuicheConnection,
} from '../../src/bridge/transports/quic-package.ts';
import type { Certificate } from './certificates.ts';

const STREAM = 0;
const DATAGRAM_BYTES = 1_200;
const WINDOW_BYTES = 1024 * 1024;
const CONNECTION_REFUSED = 2;

export interface QuicServerOptions {
  /** The TCP port that each stream is piped to. */
  readonly to: number;
  readonly certificate: Certificate;
  /** Clients have to show a certificate of this authority. */
  readonly clientCa?: Certificate;
  /** `mqtt` when not said. */
  readonly alpn?: string;
  /** A free one when not said. */
  readonly port?: number;
  /** 127.0.0.1 when not said. */
  readonly host?: string;
  /** Milliseconds; 0, when not said: none. */
  readonly idleTimeout?: number;
}

/** A QUIC listener before a broker that speaks TCP only. */
export interface QuicServer {
  readonly port: number;
  /** By name, where the certificate is checked against it. */
  readonly url: string;
  /** How many connections it has. */
  connections(): number;
  /** How many datagrams have come, heard or not. */
  datagrams(): number;
  /** Closes all connections, and refuses new ones. */
  cut(): void;
  mend(): void;
  /** Says nothing any more, and hears nothing. */
  freeze(): void;
  stop(): Promise<void>;
}

/** Starts one on a free UDP port. Each connection has one stream, which is piped to a TCP connection of its own. */
export async function startQuicServer(options: QuicServerOptions): Promise<QuicServer> {
  const host = options.host ?? '127.0.0.1';
  const socket = createSocket({
    type: isIPv6(host) ? 'udp6' : 'udp4',
    // Looked up in the same turn, so that what is sent before the socket is closed has left.
    lookup: (address, _options, done) => done(null, address, isIPv6(address) ? 6 : 4),
  });
  const listening = once(socket, 'listening');
  socket.bind(options.port ?? 0, host);
  await listening;
  const { port } = socket.address();
  const config = serverConfig(options);
  const peers = new Map<string, Peer>();
  let whole = true;
  let frozen = false;
  let datagrams = 0;
  socket.on('message', (datagram, { address, port: peerPort }) => {
    datagrams += 1;
    if (frozen) return;
    const name = `${address} ${peerPort}`;
    let peer = peers.get(name);
    if (peer === undefined) {
      if (!isInitial(datagram)) return;
      const path = { local: { host, port }, remote: { host: address, port: peerPort } };
      peer = new Peer(socket, path, config, options.to, () => peers.delete(name));
      peers.set(name, peer);
      if (!whole) peer.close(false, CONNECTION_REFUSED);
    }
    peer.receive(datagram);
  });
  const closeAll = () => {
    for (const peer of peers.values()) peer.close(true, 1);
  };
  return {
    port,
    url: `quic://localhost:${port}`,
    connections: () => peers.size,
    datagrams: () => datagrams,
    cut() {
      whole = false;
      closeAll();
    },
    mend() {
      whole = true;
    },
    freeze() {
      frozen = true;
      for (const peer of peers.values()) peer.drop();
    },
    async stop() {
      closeAll();
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}

/** A long header of QUIC version 1 with the type Initial. [RFC 9000 §17.2.2] */
const isInitial = (datagram: Buffer) => ((datagram[0] ?? 0) & 0xb0) === 0x80;

function serverConfig({ certificate, clientCa, alpn = 'mqtt', idleTimeout = 0 }: QuicServerOptions): QuicheConfig {
  const config = loadQuiche().Config.withBoringSslCtx(
    clientCa !== undefined,
    false,
    clientCa === undefined ? undefined : Buffer.from(clientCa.cert),
    [Buffer.from(certificate.key)],
    [Buffer.from(certificate.cert)],
  );
  config.setApplicationProtos([alpn]);
  config.setMaxIdleTimeout(idleTimeout);
  config.setMaxSendUdpPayloadSize(DATAGRAM_BYTES);
  config.setInitialMaxData(WINDOW_BYTES);
  config.setInitialMaxStreamDataBidiRemote(WINDOW_BYTES);
  config.setInitialMaxStreamsBidi(1);
  return config;
}

/** One connection: quiche's state of it, and the TCP connection that it is piped to. */
class Peer {
  readonly #udp: UdpSocket;
  readonly #path: { readonly local: Endpoint; readonly remote: Endpoint };
  readonly #quic: QuicheConnection;
  readonly #to: number;
  readonly #onGone: () => void;
  #tcp: Socket | null = null;
  #unsent: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;
  #gone = false;

  constructor(
    udp: UdpSocket,
    path: { local: Endpoint; remote: Endpoint },
    config: QuicheConfig,
    to: number,
    onGone: () => void,
  ) {
    this.#udp = udp;
    this.#path = path;
    this.#to = to;
    this.#onGone = onGone;
    const { Connection, MAX_CONN_ID_LEN } = loadQuiche();
    this.#quic = Connection.accept(randomBytes(MAX_CONN_ID_LEN), null, path.local, path.remote, config);
  }

  receive(datagram: Buffer): void {
    try {
      this.#quic.recv(datagram, { from: this.#path.remote, to: this.#path.local });
    } catch {
      // It has closed itself, and says why in what is sent next.
    }
    this.#advance();
  }

  /** Tells the client, and forgets it. */
  close(app: boolean, code: number): void {
    this.#quic.close(app, code, new Uint8Array(0));
    this.#send();
    this.drop();
  }

  /** Tells nobody. */
  drop(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
    this.#tcp?.destroy();
    this.#onGone();
  }

  #advance(): void {
    if (this.#gone) return;
    if (this.#quic.isEstablished()) this.#pipe();
    this.#send();
    if (this.#quic.isClosed() || this.#quic.peerError() !== null || this.#quic.localError() !== null) this.drop();
  }

  #pipe(): void {
    const into = Buffer.allocUnsafe(16 * 1024);
    while (this.#tcp?.writableNeedDrain !== true && this.#quic.streamReadable(STREAM)) {
      const got = this.#quic.streamRecv(STREAM, into);
      if (got === null) break;
      this.#tcp ??= this.#connect();
      this.#tcp.write(Buffer.from(into.subarray(0, got[0])));
      if (got[1]) this.#tcp.end();
    }
    for (let [next] = this.#unsent; next !== undefined; [next] = this.#unsent) {
      const sent = this.#quic.streamSend(STREAM, next, false) ?? 0;
      if (sent < next.length) {
        this.#unsent[0] = next.subarray(sent);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#tcp?.readableEnded) this.#quic.streamSend(STREAM, new Uint8Array(0), true);
    else this.#tcp?.resume();
  }

  #connect(): Socket {
    const tcp = connect({ port: this.#to, host: '127.0.0.1', noDelay: true });
    tcp.on('error', () => undefined);
    tcp.on('drain', () => this.#advance());
    tcp.on('data', (bytes: Buffer) => {
      this.#unsent.push(bytes);
      tcp.pause();
      this.#advance();
    });
    tcp.on('end', () => this.#advance());
    // The broker dropped it without a word more.
    tcp.on('close', (failed) => {
      if (failed && !this.#gone) this.close(true, 1);
    });
    return tcp;
  }

  #send(): void {
    for (;;) {
      const datagram = Buffer.allocUnsafe(DATAGRAM_BYTES);
      const sent = this.#quic.send(datagram);
      if (sent === null) break;
      this.#udp.send(datagram.subarray(0, sent[0]), this.#path.remote.port, this.#path.remote.host);
    }
    clearTimeout(this.#timer);
    const timeout = this.#quic.timeout();
    if (timeout === null || this.#gone) return;
    this.#timer = setTimeout(() => {
      this.#quic.onTimeout();
      this.#advance();
    }, timeout + 1);
  }
}
