import { Duplex } from 'node:stream';
import { parser as createParser, type Packet, type Parser } from 'mqtt-packet';

/** The packets that carry application messages. */
export type FlowPacket = Extract<Packet, { cmd: 'publish' | 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' }>;
/** The packets that are the bridge's own, never seen by the MQTT library. */
export type OwnPacket = FlowPacket | Extract<Packet, { cmd: 'suback' | 'unsuback' }>;

/** Control packet types: PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP; SUBACK; UNSUBACK. [MQTT 5.0 §2.1.2] */
const OWN_TYPES: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 9, 11]);

const LONGEST_LENGTH = 4;

export interface SplitterHandlers {
  onPacket(packet: OwnPacket): void;
  /** All packets of one read have been handed over. */
  onBatchEnd(): void;
  /** The transport can take more. */
  onDrain(): void;
  onMalformed(error: Error): void;
}

/**
 * Sits between the transport and the MQTT library as the stream that the library believes to be the transport. Frames
 * of the message flow (PUBLISH and its acknowledgements) and of subscribing are taken out and parsed for the bridge; all
 * others pass through untouched. That is what lets the bridge store in groups before it acknowledges, at any QoS, while
 * the library keeps CONNECT, AUTH, PING and what the broker says in DISCONNECT.
 */
export class PacketSplitter extends Duplex {
  readonly #transport: Duplex;
  readonly #parser: Parser;
  readonly #handlers: SplitterHandlers;
  /** Bytes of a fixed header that a read ended in. */
  #header: Buffer | null = null;
  /** Bytes still to come of the frame under way, and whose it is. */
  #remaining = 0;
  #mine = false;
  #failed = false;

  constructor(transport: Duplex, protocolVersion: number, handlers: SplitterHandlers) {
    super({ allowHalfOpen: false });
    this.#transport = transport;
    this.#handlers = handlers;
    this.#parser = createParser({ protocolVersion });
    this.#parser.on('packet', (packet: Packet) => handlers.onPacket(packet as OwnPacket));
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

  #split(chunk: Buffer): void {
    let at = 0;
    let runStart = 0;
    let bytes = chunk;
    if (this.#header !== null) {
      bytes = Buffer.concat([this.#header, chunk]);
      this.#header = null;
    }
    // A run is a stretch of neighbouring frames with the same destination: it is handed over in one piece.
    let runIsMine = this.#mine;
    while (at < bytes.length && !this.#failed) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, bytes.length - at);
        this.#remaining -= step;
        at += step;
        continue;
      }
      const header = readHeader(bytes, at);
      if (header === 'malformed') {
        this.#handOver(bytes.subarray(runStart, at), runIsMine);
        this.#fail(new Error('Remaining Length is longer than four bytes'));
        return;
      }
      const mine = OWN_TYPES.has((bytes[at] ?? 0) >> 4);
      if (mine !== runIsMine) {
        this.#handOver(bytes.subarray(runStart, at), runIsMine);
        runStart = at;
        runIsMine = mine;
      }
      if (header === 'incomplete') {
        this.#handOver(bytes.subarray(runStart, at), runIsMine);
        this.#header = Buffer.from(bytes.subarray(at));
        runStart = bytes.length;
        break;
      }
      this.#mine = mine;
      this.#remaining = header.remaining;
      at += header.length;
    }
    this.#handOver(bytes.subarray(runStart), runIsMine);
    this.#handlers.onBatchEnd();
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

  #forward(bytes: Buffer, done: (error?: Error | null) => void): void {
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

/** The fixed header at an offset: its own length and the Remaining Length. [MQTT 5.0 §2.1.4] */
function readHeader(bytes: Buffer, start: number): { length: number; remaining: number } | 'incomplete' | 'malformed' {
  let remaining = 0;
  for (let index = 0; index < LONGEST_LENGTH; index += 1) {
    const byte = bytes[start + 1 + index];
    if (byte === undefined) return 'incomplete';
    remaining += (byte & 0x7f) * 128 ** index;
    if (byte < 0x80) return { length: index + 2, remaining };
  }
  return 'malformed';
}
