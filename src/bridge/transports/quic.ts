import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { getDefaultAutoSelectFamilyAttemptTimeout, isIP } from 'node:net';
import { Duplex } from 'node:stream';
import { lookupFor } from './guarded-lookup.ts';
import { QuicConnection, type QuicHandlers, type QuicOptions } from './quic-connection.ts';
import { coded } from './quic-errors.ts';
import { loadQuiche } from './quic-package.ts';
import type { TransportTarget } from './target.ts';
import type { TlsContexts } from './tls-contexts.ts';

/**
 * MQTT over QUIC: one connection with one bidirectional stream. Always TLS 1.3; the certificate is verified unless the
 * operator allowed otherwise. Throws `QuicNotAvailable` without the optional package.
 */
export function openQuic(target: TransportTarget, contexts: TlsContexts): Duplex {
  const { address, tls } = target;
  const quiche = loadQuiche();
  const config = contexts.quicConfig(quiche, tls);
  return new QuicStream(target, { quiche, config, host: address.host, tls });
}

type Callback = (error?: Error | null) => void;

class QuicStream extends Duplex {
  readonly #options: Omit<QuicOptions, 'at'>;
  #connection: QuicConnection | null = null;
  #abandon: NodeJS.Timeout | undefined;
  /** What has not been taken over by the connection yet. */
  #unsent: { bytes: Uint8Array; fin: boolean; done: Callback } | null = null;
  #reading = false;
  /** Nothing more will be pushed. */
  #ended = false;

  constructor(target: TransportTarget, options: Omit<QuicOptions, 'at'>) {
    super({ allowHalfOpen: false });
    this.#options = options;
    const { port } = target.address;
    resolve(target, (error, addresses) => {
      if (this.destroyed) return;
      if (error === null) this.#tryInTurn(port, addresses);
      else this.destroy(error);
    });
  }

  /** Tries the addresses of a name in turn, by the rule of `net.connect`. */
  #tryInTurn(port: number, [address, ...others]: readonly LookupAddress[]): void {
    try {
      if (address === undefined) throw coded('ENOTFOUND', 'The name has no address');
      this.#connect({ ...address, port }, () => this.#tryInTurn(port, others), others.length > 0);
    } catch (error) {
      // No socket could be made.
      this.destroy(error as Error);
    }
  }

  #connect(at: QuicOptions['at'], next: () => void, hasNext: boolean): void {
    const tryNext = () => {
      clearTimeout(this.#abandon);
      connection.close(() => undefined);
      next();
    };
    const handlers: QuicHandlers = {
      onProgress: () => {
        this.#give();
        this.#take();
      },
      onEnd: (error) => {
        if (error !== null && !connection.heard && hasNext) tryNext();
        else if (error !== null) this.destroy(error);
        else this.#endGently();
      },
    };
    const connection = new QuicConnection({ ...this.#options, at }, handlers);
    this.#connection = connection;
    if (!hasNext) return;
    this.#abandon = setTimeout(() => {
      if (!connection.heard) tryNext();
    }, getDefaultAutoSelectFamilyAttemptTimeout());
  }

  override _read(): void {
    this.#reading = true;
    this.#take();
  }

  #take(): void {
    while (this.#reading) {
      const got = this.#connection?.read() ?? null;
      if (got === null) return;
      if (got.bytes.length > 0) this.#reading = this.push(got.bytes);
      if (got.fin) this.#endReading();
    }
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: Callback): void {
    this.#enqueue(bytes, false, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Callback): void {
    this.#enqueue(Buffer.concat(chunks.map(({ chunk }) => chunk)), false, done);
  }

  override _final(done: Callback): void {
    this.#enqueue(new Uint8Array(0), true, done);
  }

  #enqueue(bytes: Uint8Array, fin: boolean, done: Callback): void {
    this.#unsent = { bytes, fin, done };
    this.#connection?.wake();
  }

  #give(): void {
    while (this.#unsent !== null) {
      const { bytes, fin, done } = this.#unsent;
      const sent = this.#connection?.write(bytes, fin) ?? null;
      if (sent === null) return;
      if (sent < bytes.length) {
        this.#unsent = { bytes: bytes.subarray(sent), fin, done };
        return;
      }
      this.#unsent = null;
      // The next bytes may be enqueued in this call.
      done();
    }
  }

  /** The broker has closed the connection: what it had sent is read to the end first. */
  #endGently(): void {
    if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
    this.#endReading();
  }

  #endReading(): void {
    this.#reading = false;
    if (!this.#ended) this.push(null);
    this.#ended = true;
  }

  override _destroy(error: Error | null, done: Callback): void {
    clearTimeout(this.#abandon);
    if (this.#connection === null) done(error);
    else this.#connection.close(() => done(error));
  }
}

/** The host's addresses, checked when a caller named it. */
function resolve(
  target: TransportTarget,
  answer: (error: Error | null, addresses: readonly LookupAddress[]) => void,
): void {
  const { host } = target.address;
  const family = isIP(host);
  if (family !== 0) {
    answer(null, [{ address: host, family }]);
    return;
  }
  const lookup = lookupFor(target).lookup ?? systemLookup;
  lookup(host, { all: true }, (error, found) => answer(error, Array.isArray(found) ? found : []));
}
