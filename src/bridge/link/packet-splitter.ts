import { Duplex } from 'node:stream';
import { parser as createParser, type Packet, type Parser } from 'mqtt-packet';
import type { ProtocolLevel } from '../../mqtt/protocol-version.ts';
import { type FixedHeader, readHeader, writeHeader } from './fixed-header.ts';

/** The packets that carry application messages. */
export type FlowPacket = Extract<Packet, { cmd: 'publish' | 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' }>;
/** The packets that are the bridge's own, never seen by the MQTT library. */
export type OwnPacket = FlowPacket | Extract<Packet, { cmd: 'suback' | 'unsuback' | 'pingresp' }>;

/** Control packet types: PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP; SUBACK; UNSUBACK; PINGRESP. [MQTT 5.0 §2.1.2] */
const OWN_TYPES: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 9, 11, 13]);

/** How an HTTP server answers to CONNECT. */
const HTTP = Buffer.from('HTTP/1.');
const CONNACK = 2;
const PUBLISH = 3;
/** Room for a packet's topic and properties, beside the payload of PUBLISH. */
const MAX_OVERHEAD = 256 * 1024;

export interface SplitterLimits {
  /** Bytes of a payload that are kept; the end of a longer one is cut off as it arrives. */
  maxPayload: number;
  /** Bytes of a packet that the broker was told not to exceed. [MQTT-3.1.2-24] */
  maximumPacketSize: number;
}

export interface SplitterOptions {
  protocolLevel: ProtocolLevel;
  limits: SplitterLimits;
  /** Changes the CONNECT packet on its way from the library to the broker. */
  rewriteConnect?: ((connect: Buffer) => Buffer) | undefined;
}

/** Lets a receiver hold back what it cannot take. */
export interface FlowControl {
  pauseReading(): void;
  resumeReading(): void;
}

export interface SplitterHandlers {
  /** `cut` bytes at the end of a PUBLISH's payload were not kept. */
  onPacket(packet: OwnPacket, cut: number): void;
  /** All packets of one read have been handed over. */
  onBatchEnd(flow: FlowControl): void;
  /** The transport can take more. */
  onDrain(): void;
  onMalformed(error: Error): void;
}

/**
 * Sits between the transport and the MQTT library as the stream that the library believes to be the transport. Frames
 * of the message flow (PUBLISH and its acknowledgements), of subscribing and of Keep Alive are taken out and parsed for
 * the bridge; all others pass through. That is what lets the bridge store in groups before it acknowledges, at any QoS,
 * while the library keeps CONNECT, AUTH and what the broker says in DISCONNECT.
 */
export class PacketSplitter extends Duplex implements FlowControl {
  readonly #transport: Duplex;
  readonly #parser: Parser;
  readonly #handlers: SplitterHandlers;
  /** Bytes of a fixed header that a read ended in. */
  #header: Buffer | null = null;
  /** Bytes still to come of the frame under way, and whose it is. */
  #remaining = 0;
  #mine = false;
  #failed = false;
  #connackPassed = false;
  readonly #limits: SplitterLimits;
  #rewriteConnect: ((connect: Buffer) => Buffer) | null;
  /** A PUBLISH under way that is longer than what is kept of one. */
  #long: LongPublish | null = null;
  /** Bytes cut from the packet that is being parsed. */
  #cut = 0;

  constructor(
    transport: Duplex,
    { protocolLevel, limits, rewriteConnect }: SplitterOptions,
    handlers: SplitterHandlers,
  ) {
    super({ allowHalfOpen: false });
    this.#transport = transport;
    this.#handlers = handlers;
    this.#limits = limits;
    this.#rewriteConnect = rewriteConnect ?? null;
    this.#parser = createParser({ protocolVersion: protocolLevel });
    this.#parser.on('packet', (packet: Packet) => handlers.onPacket(packet as OwnPacket, this.#cut));
    this.#parser.on('error', (error: Error) => this.#fail(error));
    transport.on('data', (chunk: Buffer) => this.#split(chunk));
    transport.on('drain', handlers.onDrain);
    transport.on('end', () => this.push(null));
    transport.on('error', (error) => this.destroy(error));
    transport.on('close', () => this.destroy());
  }

  /** Writes the bridge's own packets. False when the transport's buffer is full. */
  writePackets(bytes: Uint8Array): boolean {
    return this.#transport.writable && this.#transport.write(bytes);
  }

  /** Writes a last packet and closes our side once it has left. */
  endWith(bytes: Uint8Array): void {
    this.#transport.end(bytes);
  }

  /** Bytes accepted but not yet given to the network. */
  get unsentBytes(): number {
    return this.#transport.writableLength;
  }

  pauseReading(): void {
    this.#transport.pause();
  }

  resumeReading(): void {
    this.#transport.resume();
  }

  get isReading(): boolean {
    return !this.#transport.isPaused();
  }

  #split(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#header !== null) {
      bytes = Buffer.concat([this.#header, chunk]);
      this.#header = null;
    }
    let at = 0;
    // A run is a stretch of neighbouring frames with the same destination: it is handed over in one piece.
    let runStart = 0;
    let runIsMine = this.#mine;
    const endRun = (end: number) => {
      this.#handOver(bytes.subarray(runStart, end), runIsMine);
      runStart = end;
    };
    while (at < bytes.length && !this.#failed) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, bytes.length - at);
        this.#remaining -= step;
        at += step;
        if (this.#long !== null) {
          this.#takeLong(this.#long, bytes.subarray(runStart, at));
          runStart = at;
        }
        continue;
      }
      const header = readHeader(bytes, at);
      const type = (bytes[at] ?? 0) >> 4;
      const mine = OWN_TYPES.has(type);
      if (header === 'incomplete' || header === 'malformed' || mine !== runIsMine) endRun(at);
      runIsMine = mine;
      if (!this.#connackPassed && bytes.subarray(at, at + HTTP.length).equals(HTTP)) {
        this.#fail(new Error('it is an HTTP response: perhaps the port is one for ws or wss'));
        return;
      }
      if (header === 'malformed') {
        this.#fail(new Error('Remaining Length is longer than four bytes'));
        return;
      }
      if (header === 'incomplete') {
        this.#header = Buffer.from(bytes.subarray(at));
        runStart = bytes.length;
        break;
      }
      if (!this.#admits(type, mine, header)) return;
      this.#mine = mine;
      this.#remaining = header.remaining;
      if (type === PUBLISH && header.remaining > this.#limits.maxPayload + MAX_OVERHEAD) {
        endRun(at);
        this.#long = { firstByte: bytes[at] ?? 0, kept: [], keptBytes: 0, cut: 0 };
        runStart = at + header.length;
      }
      at += header.length;
    }
    endRun(bytes.length);
    this.#handlers.onBatchEnd(this);
  }

  /** Whether a packet of that header may come now; ends the connection when not. */
  #admits(type: number, mine: boolean, { length, remaining }: FixedHeader): boolean {
    if (type === CONNACK) this.#connackPassed = true;
    if (mine && !this.#connackPassed) this.#fail(new Error('It came before CONNACK [MQTT-3.2.0-1]'));
    if (length + remaining > this.#limits.maximumPacketSize) {
      this.#fail(new Error('A packet exceeds the Maximum Packet Size [MQTT-3.1.2-24]'));
    }
    if (type !== PUBLISH && remaining > MAX_OVERHEAD) {
      this.#fail(new Error(`A packet other than PUBLISH has ${remaining} bytes`));
    }
    return !this.#failed;
  }

  /** Keeps the beginning of a PUBLISH that is too long, and hands it over as a shorter one once it is through. */
  #takeLong(long: LongPublish, part: Buffer): void {
    const room = this.#limits.maxPayload + MAX_OVERHEAD - long.keptBytes;
    const kept = part.subarray(0, Math.max(0, room));
    if (kept.length > 0) long.kept.push(Buffer.from(kept));
    long.keptBytes += kept.length;
    long.cut += part.length - kept.length;
    if (this.#remaining > 0) return;
    this.#long = null;
    this.#cut = long.cut;
    this.#handOver(Buffer.concat([writeHeader(long.firstByte, long.keptBytes), ...long.kept]), true);
    this.#cut = 0;
  }

  #handOver(run: Buffer, mine: boolean): void {
    if (run.length === 0 || this.#failed) return;
    if (mine) this.#parser.parse(run);
    else this.push(run);
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#handlers.onMalformed(error);
  }

  override _read(): void {
    // What passes through is small control packets; they are pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#forward(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#forward(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  #forward(given: Buffer, done: (error?: Error | null) => void): void {
    // The library corks the stream while it writes a packet: CONNECT, which is its first, comes in one piece.
    const bytes = this.#rewriteConnect?.(given) ?? given;
    this.#rewriteConnect = null;
    // After `endWith` the library may still want to ping.
    if (!this.#transport.writable) done();
    else if (this.#transport.write(bytes)) done();
    else this.#transport.once('drain', () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#transport.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#transport.destroy();
    done(error);
  }
}

interface LongPublish {
  firstByte: number;
  kept: Buffer[];
  keptBytes: number;
  cut: number;
}
