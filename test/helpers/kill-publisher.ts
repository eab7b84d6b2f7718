import { once } from 'node:events';
import { connect } from 'node:net';
import { parser as createParser, generate, type Packet } from 'mqtt-packet';

/** A client that publishes and never repeats: what its broker did not acknowledge may have arrived or not. */
export interface RawPublisher {
  /** Resolves with PUBACK or PUBCOMP; rejects when the network connection ends before. */
  publish(topic: string, payload: string, qos: 1 | 2, options?: { readonly retain: boolean }): Promise<void>;
  /** At QoS 0; resolves when there is room for more. */
  publishAtMostOnce(topic: string, payload: string): Promise<void>;
  close(): void;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** Connects to 127.0.0.1, with MQTT 3.1.1 and a clean session. Rejects when nothing listens there. */
export async function connectPublisher(port: number): Promise<RawPublisher> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const parser = createParser();
  const waiting = new Map<number, Waiter>();
  /** Who waits for room in the socket. */
  const roomFor = new Set<() => void>();
  const letOn = () => {
    for (const go of roomFor) go();
    roomFor.clear();
  };
  let lastId = 0;
  const write = (packet: Packet) => socket.write(generate(packet));

  const end = () => {
    for (const { reject } of waiting.values()) reject(new Error('the network connection of the publisher ended'));
    waiting.clear();
    letOn();
    socket.destroy();
  };
  const onPacket = (packet: Packet) => {
    if (packet.cmd === 'pubrec') write({ cmd: 'pubrel', messageId: packet.messageId ?? 0 });
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubcomp') return;
    waiting.get(packet.messageId ?? 0)?.resolve();
    waiting.delete(packet.messageId ?? 0);
  };
  const connected = new Promise<void>((resolve, reject) => {
    parser.on('packet', (packet) => (packet.cmd === 'connack' ? resolve() : onPacket(packet)));
    socket.on('close', () => reject(new Error('the broker closed the network connection of the publisher')));
  });
  socket.on('data', (bytes) => parser.parse(bytes));
  socket.on('error', () => {});
  socket.on('drain', letOn);
  socket.on('close', end);
  write({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: '', clean: true, keepalive: 0 });
  await connected;

  return {
    publish(topic, payload, qos, { retain } = { retain: false }) {
      if (socket.destroyed) return Promise.reject(new Error('the network connection of the publisher has ended'));
      lastId = (lastId % 65_535) + 1;
      const messageId = lastId;
      write({ cmd: 'publish', topic, payload, qos, messageId, dup: false, retain });
      return new Promise((resolve, reject) => waiting.set(messageId, { resolve, reject }));
    },
    async publishAtMostOnce(topic, payload) {
      const goesOn = write({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });
      if (goesOn || socket.destroyed) return;
      await new Promise<void>((resolve) => void roomFor.add(resolve));
    },
    close: end,
  };
}
