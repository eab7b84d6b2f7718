import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { parser as createParser, generate } from 'mqtt-packet';
import { freePort } from './ports.ts';

/** A broker for many clients, which may hold CONNACKs back: it counts the handshakes that are under way. */
export interface HoldingBroker {
  readonly url: string;
  /** CONNECTs that wait for CONNACK now, and how many did at most since `drop`. */
  readonly handshakes: number;
  readonly mostHandshakes: number;
  /** Clients that have their CONNACK. */
  readonly clients: number;
  /** ClientIDs in the order of their CONNECTs. */
  readonly connects: readonly string[];
  /** From now on CONNECT is not answered. */
  hold(): void;
  /** Answers what waits, and from now on each CONNECT after so many milliseconds. */
  release(afterMs?: number): void;
  /** Ends all connections, and counts anew. */
  drop(): void;
  stop(): Promise<void>;
}

/** Starts it on a free port of 127.0.0.1; CONNECT is answered at once until `hold`. */
export async function startHoldingBroker(): Promise<HoldingBroker> {
  const sockets = new Set<Socket>();
  const waiting = new Map<Socket, () => void>();
  const clients = new Set<Socket>();
  let connects: string[] = [];
  let mostHandshakes = 0;
  let holding = false;
  let delayMs = 0;

  const server = createServer((socket) => {
    sockets.add(socket);
    const parser = createParser();
    parser.on('packet', (packet) => {
      if (packet.cmd !== 'connect') return;
      connects.push(packet.clientId);
      const protocolVersion = packet.protocolVersion ?? 4;
      waiting.set(socket, () => {
        if (!waiting.delete(socket)) return;
        clients.add(socket);
        const code = protocolVersion === 5 ? { reasonCode: 0 } : { returnCode: 0 };
        socket.write(generate({ cmd: 'connack', sessionPresent: false, ...code }, { protocolVersion }));
      });
      mostHandshakes = Math.max(mostHandshakes, waiting.size);
      if (!holding) setTimeout(() => waiting.get(socket)?.(), delayMs);
    });
    socket.on('data', (bytes) => parser.parse(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const set of [sockets, waiting, clients]) set.delete(socket);
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1', 5_000);
  await once(server, 'listening');

  const drop = () => {
    for (const socket of sockets) socket.destroy();
    connects = [];
    mostHandshakes = 0;
  };
  return {
    url: `mqtt://127.0.0.1:${port}`,
    get handshakes() {
      return waiting.size;
    },
    get mostHandshakes() {
      return mostHandshakes;
    },
    get clients() {
      return clients.size;
    },
    get connects() {
      return connects;
    },
    hold() {
      holding = true;
    },
    release(afterMs = 0) {
      holding = false;
      delayMs = afterMs;
      for (const answer of [...waiting.values()]) answer();
    },
    drop,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      drop();
      await closed;
    },
  };
}
