import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import {
  parser as createParser,
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type Packet,
  type PacketCmd,
} from 'mqtt-packet';
import { createInbox } from './inbox.ts';
import { freePort } from './ports.ts';

type PacketOf<Cmd extends PacketCmd> = Extract<Packet, { cmd: Cmd }>;

/** One network connection of a client, from the broker's side: nothing is answered unless the test says so. */
export interface ScriptedConnection {
  /** All packets so far, in their order. */
  readonly received: readonly Packet[];
  /** The CONNECT packet, once it was received. */
  readonly connect: IConnectPacket | null;
  /**
   * The next packet of that command that `next` has not answered yet (and that `predicate` accepts); the others stay
   * for later calls. Rejects when the client closes, or when the time (ms, 5,000) is over.
   */
  next<Cmd extends PacketCmd>(
    cmd: Cmd,
    predicate?: (packet: PacketOf<Cmd>) => boolean,
    within?: number,
  ): Promise<PacketOf<Cmd>>;
  /** Waits for CONNECT and answers it with success, or with what is said here. Answers the CONNECT packet. */
  accept(connack?: Partial<Omit<IConnackPacket, 'cmd'>>): Promise<IConnectPacket>;
  /** Writes a packet in the protocol version of CONNECT. */
  send(packet: Packet): void;
  sendRaw(bytes: Uint8Array): void;
  /** Destroys the socket: no DISCONNECT, nothing. */
  drop(): void;
  /** Stops reading from the socket, so that the client's writes pile up; and reads again. */
  pause(): void;
  resume(): void;
  /** Settles when the socket is closed, by whichever side. */
  readonly closed: Promise<void>;
}

export interface ScriptedBroker {
  readonly url: string;
  readonly port: number;
  /** All so far, in the order in which they were opened. */
  readonly connections: readonly ScriptedConnection[];
  /** The next connection that this has not answered yet. Rejects when the time (ms, 5,000) is over. */
  nextConnection(within?: number): Promise<ScriptedConnection>;
  /** Drops all connections and stops to listen. */
  stop(): Promise<void>;
}

/** Starts a broker that says only what the test tells it to say, on a port of 127.0.0.1 (a free one when not said). */
export async function startScriptedBroker(port?: number): Promise<ScriptedBroker> {
  const connections: ScriptedConnection[] = [];
  const arrivals = createInbox<ScriptedConnection>();
  const server = createServer((socket) => {
    const connection = scriptConnection(socket);
    connections.push(connection);
    arrivals.put(connection);
  });
  const ownPort = port ?? (await freePort());
  server.listen(ownPort, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `mqtt://127.0.0.1:${ownPort}`,
    port: ownPort,
    connections,
    nextConnection: (within) => arrivals.take(() => true, 'a connection', within),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const connection of connections) connection.drop();
      await closed;
    },
  };
}

function scriptConnection(socket: Socket): ScriptedConnection {
  const received: Packet[] = [];
  const inbox = createInbox<Packet>();
  const parser = createParser();
  let connect: IConnectPacket | null = null;
  parser.on('packet', (packet) => {
    if (packet.cmd === 'connect') connect = packet;
    received.push(packet);
    inbox.put(packet);
  });
  parser.on('error', (error) => inbox.fail(new Error('the client sent what is not MQTT', { cause: error })));
  socket.setNoDelay(true);
  socket.on('data', (bytes) => parser.parse(bytes));
  // A reset by the peer is an end like any other here.
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  void closed.then(() => inbox.fail(new Error('the connection is closed')));

  const send = (packet: Packet) => {
    socket.write(generate(packet, { protocolVersion: connect?.protocolVersion ?? 4 }));
  };
  const next: ScriptedConnection['next'] = async (cmd, predicate = () => true, within) => {
    type Wanted = PacketOf<typeof cmd>;
    const isWanted = (packet: Packet) => packet.cmd === cmd && predicate(packet as Wanted);
    try {
      return (await inbox.take(isWanted, `a ${cmd.toUpperCase()} packet`, within)) as Wanted;
    } catch (cause) {
      const seen = received.map((packet) => packet.cmd).join(', ') || 'nothing';
      throw new Error(`${(cause as Error).message}; received in all: ${seen}`, { cause });
    }
  };
  return {
    received,
    get connect() {
      return connect;
    },
    next,
    async accept(connack = {}) {
      const packet = await next('connect');
      const code = packet.protocolVersion === 5 ? { reasonCode: 0 } : { returnCode: 0 };
      send({ cmd: 'connack', sessionPresent: false, ...code, ...connack });
      return packet;
    },
    send,
    sendRaw: (bytes) => void socket.write(bytes),
    drop: () => void socket.destroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    closed,
  };
}
