import { connect, type Socket } from 'node:net';
import { parser as createParser, generate, type IPublishPacket, type Packet } from 'mqtt-packet';
import { until } from './until.ts';

/** Milliseconds between two attempts to connect. */
const RETRY = 100;
const MQTT_5 = { protocolVersion: 5 };

/** A client with a persistent session, which connects again whenever it is cut off: a judge outlives its broker. */
export interface RawSubscriber {
  /** What arrived, in that order: at QoS 2 once for each exchange. */
  readonly received: readonly { readonly topic: string; readonly payload: string }[];
  stop(): void;
}

/** Resolves once a broker on that port of 127.0.0.1 has granted the subscription, at QoS 2. */
export async function startSubscriber(port: number, clientId: string, filter: string): Promise<RawSubscriber> {
  const received: { topic: string; payload: string }[] = [];
  /** QoS 2 messages that were taken and not released: they may come again. [MQTT-4.3.3-10] */
  const held = new Set<number>();
  let subscribed = false;
  let stopped = false;
  let socket: Socket;

  const write = (packet: Packet) => void socket.write(generate(packet, MQTT_5));
  const take = ({ topic, payload, qos, messageId = 0 }: IPublishPacket) => {
    if (qos < 2 || !held.has(messageId)) received.push({ topic, payload: payload.toString() });
    if (qos === 1) write({ cmd: 'puback', messageId, reasonCode: 0 });
    if (qos === 2) {
      held.add(messageId);
      write({ cmd: 'pubrec', messageId, reasonCode: 0 });
    }
  };
  const onPacket = (packet: Packet) => {
    switch (packet.cmd) {
      case 'connack':
        if (packet.sessionPresent) return;
        held.clear();
        return write({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 2 }] });
      case 'suback':
        subscribed = true;
        return;
      case 'publish':
        return take(packet);
      case 'pubrel':
        held.delete(packet.messageId ?? 0);
        return write({ cmd: 'pubcomp', messageId: packet.messageId ?? 0, reasonCode: 0 });
    }
  };
  const open = () => {
    if (stopped) return;
    socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const parser = createParser(MQTT_5);
    parser.on('packet', onPacket);
    socket.on('data', (bytes) => parser.parse(bytes));
    socket.on('error', () => {});
    socket.on('close', () => setTimeout(open, RETRY));
    const session = { clean: false, keepalive: 0, properties: { sessionExpiryInterval: 3_600 } };
    write({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clientId, ...session });
  };
  open();
  await until(() => subscribed, { what: `the subscription of ${clientId}` });
  return {
    received,
    stop() {
      stopped = true;
      socket.destroy();
    },
  };
}
