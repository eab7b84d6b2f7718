import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Control packet types that end an inbound exchange, from the first byte's upper half. [MQTT 5.0 §2.1.2] */
export const PUBACK = 4;
export const PUBCOMP = 7;

export interface WireTap {
  /** Connect here instead of to the broker. */
  readonly url: string;
  /**
   * Resolves with the milliseconds from when the first of the next clients connects until they all have sent what is
   * expected. Rejects after the deadline (milliseconds).
   */
  time(expected: Expected, deadline: number): Promise<number>;
  stop(): Promise<void>;
}

export interface Expected {
  readonly packetType: number;
  /** Of those packets, of all clients together. */
  readonly count: number;
  /** How many of the next to connect are counted. */
  readonly clients: number;
}

interface Watch {
  readonly packetType: number;
  missing: number;
  /** Yet to connect. */
  clients: number;
  /** When the first connected, or null. */
  startedAt: number | null;
  readonly done: (milliseconds: number) => void;
}

/**
 * Stands between clients and the broker, passes every byte on, and counts what clients acknowledge: so that nobody's
 * own word is taken for it, and all are timed at the same place. It costs a copy of each chunk, the same for all.
 */
export async function startWireTap(brokerPort: number): Promise<WireTap> {
  const sockets = new Set<Socket>();
  let next: Watch | null = null;
  const server = createServer({ noDelay: true }, (client) => {
    const broker = connect({ port: brokerPort, host: '127.0.0.1', noDelay: true });
    for (const socket of [client, broker]) {
      sockets.add(socket);
      // Either end may go away; the other follows.
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
    if (next !== null && next.clients > 0) count(client, next);
    client.pipe(broker);
    broker.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    url: `mqtt://127.0.0.1:${port}`,
    time: ({ packetType, count: missing, clients }, deadline) =>
      new Promise((resolve, reject) => {
        const late = () => reject(new Error(`${watch.missing} of ${missing} acknowledgements were still missing`));
        const timer = setTimeout(late, deadline);
        const done = (milliseconds: number) => {
          clearTimeout(timer);
          resolve(milliseconds);
        };
        const watch: Watch = { packetType, missing, clients, startedAt: null, done };
        next = watch;
      }),
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function count(client: Socket, watch: Watch): void {
  watch.startedAt ??= performance.now();
  watch.clients -= 1;
  const { startedAt } = watch;
  const frames = new FrameCounter(watch.packetType);
  client.on('data', (chunk: Buffer) => {
    if (watch.missing <= 0) return;
    watch.missing -= frames.take(chunk);
    if (watch.missing <= 0) watch.done(performance.now() - startedAt);
  });
}

/** Counts the packets of one type in a stream of MQTT packets, by their fixed headers alone. [MQTT 5.0 §2.1] */
class FrameCounter {
  readonly #packetType: number;
  #rest: Buffer = Buffer.alloc(0);
  #skip = 0;

  constructor(packetType: number) {
    this.#packetType = packetType;
  }

  /** How many packets of the type begin in what is complete with this chunk. */
  take(chunk: Buffer): number {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let found = 0;
    let at = this.#skip;
    for (;;) {
      let length = 0;
      let end = at + 1;
      while ((bytes[end] ?? 0) >= 0x80) {
        length += ((bytes[end] ?? 0) & 0x7f) * 128 ** (end - at - 1);
        end += 1;
      }
      const last = bytes[end];
      if (last === undefined) break;
      length += last * 128 ** (end - at - 1);
      if ((bytes[at] ?? 0) >> 4 === this.#packetType) found += 1;
      at = end + 1 + length;
    }
    this.#skip = Math.max(0, at - bytes.length);
    this.#rest = bytes.subarray(Math.min(at, bytes.length));
    return found;
  }
}
