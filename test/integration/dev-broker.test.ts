import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parser as createParser, generate, type ISubackPacket, type Packet, type QoS } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DevBroker, startDevBroker } from '../../src/dev-broker.ts';
import { createInbox } from '../helpers/inbox.ts';

describe('the development broker', () => {
  let broker: DevBroker;
  let socket: Socket;

  beforeEach(async () => {
    broker = await startDevBroker({ host: '127.0.0.1', port: 0 });
    socket = connect(Number(new URL(broker.url).port), '127.0.0.1');
    await once(socket, 'connect');
  });
  afterEach(async () => {
    socket.destroy();
    await broker.close();
  });

  /** Sends CONNECT and SUBSCRIBE at once; answers SUBACK's codes, and how to wait for a packet. */
  async function subscribe(filters: readonly string[], clean: boolean) {
    const inbox = createInbox<Packet>();
    const parser = createParser({ protocolVersion: 5 });
    parser.on('packet', (packet) => inbox.put(packet));
    socket.on('data', (bytes) => parser.parse(bytes));
    const next = (cmd: Packet['cmd']) => inbox.take((packet) => packet.cmd === cmd, cmd);
    const subscriptions = filters.map((topic, index) => ({
      topic,
      qos: (index % 2) as QoS,
      nl: false,
      rap: false,
      rh: 0,
    }));
    send(
      {
        cmd: 'connect',
        clientId: 'c',
        clean,
        keepalive: 60,
        protocolId: 'MQTT',
        protocolVersion: 5,
        ...(clean ? {} : { properties: { sessionExpiryInterval: 60 } }),
      },
      { cmd: 'subscribe', messageId: 1, subscriptions },
    );
    const { granted } = (await next('suback')) as ISubackPacket;
    return { granted, next };
  }

  function send(...packets: Packet[]): void {
    socket.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 }))));
  }

  describe.each([true, false])('Clean Start: %s', (clean) => {
    it.each([[['constructor']], [['toString', 'a', 'hasOwnProperty']]])(
      'takes the filters %j, which an object inherits',
      async (filters) => {
        const { granted, next } = await subscribe(filters, clean);
        expect(granted).toEqual(filters.map((_filter, index) => index % 2));
        for (const topic of filters) {
          send({ cmd: 'publish', topic, payload: 'x', qos: 0, dup: false, retain: false });
          expect(await next('publish')).toMatchObject({ topic });
        }
        send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: filters });
        await next('unsuback');
      },
    );

    it.each([
      [['__proto__'], [0x87]],
      [
        ['a', '__proto__', 'b'],
        [0, 0x87, 0],
      ],
    ])('of the filters %j it refuses __proto__, and lives on', async (filters, codes) => {
      const { granted, next } = await subscribe(filters, clean);
      expect(granted).toEqual(codes);
      send({ cmd: 'pingreq' });
      await next('pingresp');
    });
  });
});
