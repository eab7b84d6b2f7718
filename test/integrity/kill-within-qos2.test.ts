import type { IPublishPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { STORES, type StoreUnderTest } from '../helpers/kill-stores.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

/** The packet identifier of the broker's messages. */
const ID = 7;

/** A crash point of one exchange. Each has a Connection of its own, and all are killed together. */
interface CrashPoint {
  /** Brings the exchange there. */
  before(exchange: Exchange): Promise<void>;
  /** What the broker sends last, to a process that is frozen, and so never sees it. */
  unseen?(exchange: Exchange): void;
  /** Whether the broker lost the session meanwhile. */
  sessionLost?: boolean;
  /** Goes on after the next start, and says what must be. */
  after(exchange: Exchange): Promise<void>;
}

/** One Connection of the bridge, seen by its broker and by its caller. */
interface Exchange {
  readonly id: string;
  connection: ScriptedConnection;
  /** The identifier that the bridge chose for its message. */
  messageId: number;
  /** Calls POST …/publish; null when the process ended before it answered. */
  publish(payload: string, qos: 1 | 2): Promise<Answer<unknown> | null>;
  /** Payloads in the queue. */
  queue(): Promise<string[]>;
}

const fromBroker = (payload: string, dup = false): IPublishPacket => ({
  ...{ cmd: 'publish', topic: 'in', payload, qos: 2, messageId: ID, dup, retain: false },
});
const PUBREL = { cmd: 'pubrel', messageId: ID, reasonCode: 0 } as const;

const receive = async ({ connection }: Exchange, packet: IPublishPacket) => {
  connection.send(packet);
  expect(await connection.next('pubrec')).toMatchObject({ messageId: ID });
};
const complete = async ({ connection }: Exchange) => {
  connection.send(PUBREL);
  expect(await connection.next('pubcomp')).toMatchObject({ messageId: ID });
};
/** The identifier is free: what comes under it now is another message. */
const expectOnceAndAnother = async (exchange: Exchange) => {
  expect(await exchange.queue()).toEqual(['once']);
  await receive(exchange, fromBroker('another'));
  await complete(exchange);
  expect(await exchange.queue()).toEqual(['once', 'another']);
};
const repeatAll = async (exchange: Exchange) => {
  await receive(exchange, fromBroker('once', true));
  await complete(exchange);
  await expectOnceAndAnother(exchange);
};
const repeatRelease = async (exchange: Exchange) => {
  await complete(exchange);
  await expectOnceAndAnother(exchange);
};

const inbound: Record<string, CrashPoint> = {
  'after PUBLISH, before it was stored: PUBLISH comes again': {
    before: async () => {},
    unseen: ({ connection }) => connection.send(fromBroker('once')),
    after: repeatAll,
  },
  'after it was stored, and PUBREC was lost: PUBLISH comes again': {
    before: (exchange) => receive(exchange, fromBroker('once')),
    after: repeatAll,
  },
  'after PUBREC, before PUBREL: PUBREL comes': {
    before: (exchange) => receive(exchange, fromBroker('once')),
    after: repeatRelease,
  },
  'after PUBREL, before the identifier was erased: PUBREL comes again': {
    before: (exchange) => receive(exchange, fromBroker('once')),
    unseen: ({ connection }) => connection.send(PUBREL),
    after: repeatRelease,
  },
  'after the identifier was erased, and PUBCOMP was lost: PUBREL comes again': {
    before: async (exchange) => {
      await receive(exchange, fromBroker('once'));
      await complete(exchange);
    },
    after: repeatRelease,
  },
  'after PUBCOMP: the identifier comes with another message': {
    before: async (exchange) => {
      await receive(exchange, fromBroker('once'));
      await complete(exchange);
    },
    after: expectOnceAndAnother,
  },
  'after PUBREC, and the session was lost: the identifier comes with another message': {
    before: (exchange) => receive(exchange, fromBroker('once')),
    sessionLost: true,
    after: expectOnceAndAnother,
  },
};

const begin = async (exchange: Exchange) => {
  void exchange.publish('once', 2);
  const { messageId = 0, payload, dup } = await exchange.connection.next('publish');
  expect([payload.toString(), dup]).toEqual(['once', false]);
  exchange.messageId = messageId;
};
const release = async ({ connection, messageId }: Exchange) => {
  connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 });
  expect(await connection.next('pubrel')).toMatchObject({ messageId });
};
const repeatPublish = async ({ connection, messageId }: Exchange) =>
  expect(await connection.next('publish')).toMatchObject({ messageId, dup: true, payload: Buffer.from('once') });
const end = ({ connection, messageId }: Exchange, reasonCode = 0) =>
  connection.send({ cmd: 'pubcomp', messageId, reasonCode });

/** Judged by the broker: the next message is the first PUBLISH that it sees, or the first after the repeated one. */
const expectNoOtherPublish = async (exchange: Exchange, repeated: string[] = []) => {
  const { connection } = exchange;
  const next = exchange.publish('next', 1);
  const { messageId = 0 } = await connection.next('publish', ({ payload }) => payload.toString() === 'next');
  connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
  expect((await next)?.status).toBe(200);
  const published = connection.received.filter((packet) => packet.cmd === 'publish');
  expect(published.map(({ payload }) => payload.toString())).toEqual([...repeated, 'next']);
};

const outbound: Record<string, CrashPoint> = {
  'after PUBLISH: the next start sends it again, with DUP': {
    before: begin,
    after: async (exchange) => {
      await repeatPublish(exchange);
      await release(exchange);
      end(exchange);
      await expectNoOtherPublish(exchange, ['once']);
    },
  },
  'after PUBREC that was not seen: the next start sends PUBLISH again, with DUP': {
    before: begin,
    unseen: ({ connection, messageId }) => connection.send({ cmd: 'pubrec', messageId, reasonCode: 0 }),
    after: async (exchange) => {
      await repeatPublish(exchange);
      await release(exchange);
      end(exchange);
      await expectNoOtherPublish(exchange, ['once']);
    },
  },
  'after PUBREL: the next start sends PUBREL, and PUBLISH never more': {
    before: async (exchange) => {
      await begin(exchange);
      await release(exchange);
    },
    after: async (exchange) => {
      expect(await exchange.connection.next('pubrel')).toMatchObject({ messageId: exchange.messageId });
      end(exchange);
      await expectNoOtherPublish(exchange);
    },
  },
  'after PUBCOMP that was not seen: the next start sends PUBREL, and a broker that knows it no more ends it': {
    before: async (exchange) => {
      await begin(exchange);
      await release(exchange);
    },
    unseen: (exchange) => end(exchange),
    after: async (exchange) => {
      expect(await exchange.connection.next('pubrel')).toMatchObject({ messageId: exchange.messageId });
      end(exchange, 0x92);
      await expectNoOtherPublish(exchange);
    },
  },
  'after PUBCOMP and the answer: it is not sent again': {
    before: async (exchange) => {
      const answer = exchange.publish('once', 2);
      exchange.messageId = (await exchange.connection.next('publish')).messageId ?? 0;
      await release(exchange);
      end(exchange);
      expect(await answer).toMatchObject({ status: 200, json: { qos: 2, reasonCode: 0 } });
    },
    after: expectNoOtherPublish,
  },
  'after PUBLISH, and the session was lost: it is not sent again': {
    before: begin,
    sessionLost: true,
    after: expectNoOtherPublish,
  },
  'after PUBREL, and the session was lost: it is not sent again, nor is PUBREL': {
    before: async (exchange) => {
      await begin(exchange);
      await release(exchange);
    },
    sessionLost: true,
    after: async (exchange) => {
      await expectNoOtherPublish(exchange);
      expect(exchange.connection.received.map(({ cmd }) => cmd)).not.toContain('pubrel');
    },
  },
};

const points = Object.entries({ inbound, outbound }).flatMap(([direction, all]) =>
  Object.entries(all).map(([name, point]) => ({ name: `${direction}, ${name}`, point })),
);

describe.each(Object.entries(STORES))('kill -9 within a QoS 2 exchange, over %s', (_name, prepareStore) => {
  describe.each(['5.0', '3.1.1'] as const)('MQTT %s', (protocolVersion) => {
    let broker: ScriptedBroker;
    let store: StoreUnderTest;
    let bridge: BridgeProcess;
    const exchanges = new Map<CrashPoint, Exchange>();

    beforeAll(async () => {
      [broker, store] = await Promise.all([startScriptedBroker(), prepareStore()]);
      bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, ...store.env } });
      for (const [index, { point }] of points.entries()) exchanges.set(point, await open(`c${index}`));
      for (const [point, exchange] of exchanges) await point.before(exchange);
      process.kill(bridge.pid, 'SIGSTOP');
      for (const [point, exchange] of exchanges) point.unseen?.(exchange);
      await bridge.kill();
      await bridge.restart();
      await acceptAll();
    });
    afterAll(async () => {
      await bridge?.kill();
      await Promise.all([broker?.stop(), store?.stop()]);
    });

    it.each(points)('$name', async ({ point }) => {
      const exchange = exchanges.get(point);
      if (exchange === undefined) throw new Error('it was not opened');
      await point.after(exchange);
    });

    async function open(id: string): Promise<Exchange> {
      const session = protocolVersion === '5.0' ? { sessionExpiryInterval: 600 } : { cleanSession: false };
      const path = `/v1/connections/${id}`;
      const declared = bridge.request('PUT', path, { json: { protocolVersion, ...session } });
      const connection = await broker.nextConnection();
      await connection.accept();
      expect((await declared).json).toMatchObject({ state: 'online', generation: 1 });
      return {
        id,
        connection,
        messageId: 0,
        publish: (payload, qos) =>
          bridge.request('POST', `${path}/publish`, { json: { topic: 'out', payload, qos } }).catch(() => null),
        async queue() {
          const { json } = await bridge.request<{ messages: { payload: string }[] }>('GET', `${path}/messages`);
          return json.messages.map(({ payload }) => payload);
        },
      };
    }

    /** Answers the CONNECTs of the process that was started again, and gives each to its exchange. */
    async function acceptAll(): Promise<void> {
      for (const _ of points) {
        const connection = await broker.nextConnection(10_000);
        const { clientId } = await connection.next('connect');
        for (const [{ sessionLost = false }, exchange] of exchanges) {
          if (exchange.id !== clientId) continue;
          exchange.connection = connection;
          const code = protocolVersion === '5.0' ? { reasonCode: 0 } : { returnCode: 0 };
          connection.send({ cmd: 'connack', sessionPresent: !sessionLost, ...code });
        }
      }
      await until(
        async () => {
          const { json } = await bridge.request<{ connections: unknown[] }>('GET', '/v1/connections?state=online');
          return json.connections.length === points.length;
        },
        { what: 'all are online again' },
      );
    }
  });
});
