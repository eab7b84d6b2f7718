import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { parser as createParser, generate, type IConnackPacket, type ISubscribePacket, type Packet } from 'mqtt-packet';
import { type DecodedConnect, decodeConnect, packetLength } from './connect-decoder.ts';
import { until } from './until.ts';

/** What a DISCONNECT says, from its bytes; what is not there is null, but for the reason code, which then is 0. */
export interface DecodedDisconnect {
  readonly reasonCode: number;
  readonly sessionExpiryInterval: number | null;
}

export interface SeenPacket {
  readonly packet: Packet;
  /** When it arrived, in milliseconds of `performance.now()`. */
  readonly at: number;
}

/** One network connection of a client. */
export interface AnsweredConnection {
  /** CONNECT, from its bytes. */
  readonly connect: DecodedConnect;
  /** All that came after CONNECT but DISCONNECT. */
  readonly packets: readonly SeenPacket[];
  readonly acceptedAt: number;
  /** Null until it came. */
  readonly disconnect: DecodedDisconnect | null;
  readonly closed: boolean;
  /** From now on nothing is answered any more: all is swallowed. */
  fallSilent(): void;
  send(packet: Packet): void;
  /** Destroys the socket. */
  drop(): void;
}

export type Connack = Partial<Omit<IConnackPacket, 'cmd'>>;

export interface AnsweringBrokerOptions {
  /** What to answer to the CONNECT with that number, from 0. */
  readonly connack?: (connect: DecodedConnect, index: number) => Connack;
}

export interface AnsweringBroker {
  readonly url: string;
  readonly port: number;
  /** All that sent a CONNECT, in its order. */
  readonly connections: readonly AnsweredConnection[];
  /** The connection with that number, from 0; waits for its CONNECT (ms, 10,000). */
  connection(index: number, within?: number): Promise<AnsweredConnection>;
  stop(): Promise<void>;
}

const TYPE_CONNECT = 1;
const TYPE_DISCONNECT = 14;
const SESSION_EXPIRY_INTERVAL = 0x11;

/** A broker that accepts, grants and acknowledges everything, keeps nothing, and records what it was sent. */
export async function startAnsweringBroker({
  connack = () => ({}),
}: AnsweringBrokerOptions = {}): Promise<AnsweringBroker> {
  const connections: AnsweredConnection[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    answer(socket, (connect, connection) => {
      connections.push(connection);
      return connack(connect, connections.length - 1);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    connections,
    connection: (index, within = 10_000) => until(() => connections[index], { what: `CONNECT ${index}`, within }),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

type OnConnect = (connect: DecodedConnect, connection: AnsweredConnection) => Connack;

function answer(socket: Socket, onConnect: OnConnect): void {
  const packets: SeenPacket[] = [];
  const state = { closed: false, silent: false, disconnect: null as DecodedDisconnect | null };
  let protocolVersion = 4;
  let parser = createParser();
  let rest: Buffer = Buffer.alloc(0);

  const send = (packet: Packet) => void socket.write(generate(packet, { protocolVersion }));
  const accept = (bytes: Buffer) => {
    const connect = decodeConnect(bytes);
    protocolVersion = connect.protocolLevel;
    parser = createParser({ protocolVersion });
    parser.on('packet', (packet) => {
      packets.push({ packet, at: performance.now() });
      const reply = state.silent ? null : replyTo(packet, protocolVersion);
      if (reply !== null) send(reply);
    });
    const said = onConnect(connect, {
      connect,
      packets,
      acceptedAt: performance.now(),
      get disconnect() {
        return state.disconnect;
      },
      get closed() {
        return state.closed;
      },
      fallSilent: () => {
        state.silent = true;
      },
      send,
      drop: () => void socket.destroy(),
    });
    const success = protocolVersion === 5 ? { reasonCode: 0 } : { returnCode: 0 };
    send({ cmd: 'connack', sessionPresent: false, ...success, ...said });
  };

  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.once('close', () => {
    state.closed = true;
  });
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (let length = packetLength(rest); length !== null && length <= rest.length; length = packetLength(rest)) {
      const packet = rest.subarray(0, length);
      rest = rest.subarray(length);
      const type = (packet[0] ?? 0) >> 4;
      if (type === TYPE_CONNECT) accept(packet);
      else if (type === TYPE_DISCONNECT) state.disconnect = decodeDisconnect(packet);
      else parser.parse(packet);
    }
  });
}

function replyTo(packet: Packet, protocolVersion: number): Packet | null {
  switch (packet.cmd) {
    case 'subscribe':
      return { cmd: 'suback', messageId: packet.messageId ?? 0, granted: grantedTo(packet) };
    case 'unsubscribe':
      return {
        cmd: 'unsuback',
        messageId: packet.messageId ?? 0,
        granted: protocolVersion === 5 ? packet.unsubscriptions.map(() => 0) : [],
      };
    case 'publish':
      if (packet.qos === 0) return null;
      return { cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId ?? 0, reasonCode: 0 };
    case 'pubrel':
      return { cmd: 'pubcomp', messageId: packet.messageId ?? 0, reasonCode: 0 };
    case 'pingreq':
      return { cmd: 'pingresp' };
    default:
      return null;
  }
}

const grantedTo = ({ subscriptions }: ISubscribePacket): number[] => subscriptions.map(({ qos }) => qos);

/** [MQTT 5.0 §3.14.2] Throws on properties that a client has no reason to send. */
function decodeDisconnect(bytes: Buffer): DecodedDisconnect {
  if (bytes[0] !== 0xe0) throw new Error('the reserved bits of DISCONNECT are not 0 [MQTT-3.14.1-1]');
  const [reasonCode = 0, propertiesLength = 0, ...properties] = bytes.subarray(2);
  if (propertiesLength === 0) return { reasonCode, sessionExpiryInterval: null };
  if (properties[0] !== SESSION_EXPIRY_INTERVAL || propertiesLength !== 5 || properties.length !== 5) {
    throw new Error(`properties of DISCONNECT: ${bytes.toString('hex')}`);
  }
  return { reasonCode, sessionExpiryInterval: Buffer.from(properties).readUInt32BE(1) };
}
