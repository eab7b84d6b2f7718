import { connectAsync } from 'mqtt';
import { mosquittoPub } from '../test/helpers/mosquitto-clients.ts';
import { cpuSeconds } from './cpu-time.ts';
import { callJson } from './json-http.ts';
import type { Options } from './options.ts';
import { withResources } from './resources.ts';
import { type Server, STORES, type StoreName, startBridge, startBroker, startServer } from './servers.ts';
import { PUBACK, PUBCOMP, startWireTap } from './wire-tap.ts';

const PAYLOAD_BYTES = 100;
const TOPIC = 'bench/in';
/** Milliseconds that taking in a backlog may last before the run is given up. */
const DEADLINE = 60_000;
const SESSION_EXPIRY = 600;

export interface InboundMeasured {
  readonly messagesPerSecond: number;
  /** Seconds that the receiving process spent per 1,000 messages; a Redis server's are not in it. */
  readonly cpuPer1000: number;
}

export interface InboundResult {
  /** Null: received by MQTT.js and not stored. */
  readonly store: StoreName | null;
  readonly qos: 1 | 2;
  readonly rounds: readonly InboundMeasured[];
}

/** Who takes in a backlog. `id` names a session and whatever it belongs to. */
interface Contestant {
  readonly store: StoreName | null;
  readonly pid: number;
  /** Makes a session that is subscribed to the topic, and leaves it. */
  park(id: string, qos: 1 | 2): Promise<unknown>;
  attach(id: string): Promise<unknown>;
  /** How many messages it has. */
  received(id: string): Promise<unknown>;
  remove(id: string): Promise<unknown>;
}

/**
 * Times how long a backlog takes that waits in a persistent session, from when the client connects until the broker
 * has every last acknowledgement (PUBACK, or PUBCOMP at QoS 2). All sessions of a round get the same backlog.
 */
export function compareInbound(
  { plan, profile }: Options,
  progress: (text: string) => void,
): Promise<readonly InboundResult[]> {
  return withResources(async (own) => {
    const broker = own(await startBroker());
    const tap = own(await startWireTap(broker.port));
    const receiver = own(await startServer('bench/servers/receiver.ts', { MQTT_URL: tap.url }));
    const contestants = [onlyReceiving(receiver, broker.url)];
    for (const store of STORES) {
      contestants.push(bridge(await startBridge(store, { mqttUrl: tap.url, own, profile }), store));
    }

    const results = ([1, 2] as const).flatMap((qos) =>
      contestants.map((contestant) => ({ contestant, qos, rounds: [] as InboundMeasured[] })),
    );
    const backlog = `${'x'.repeat(PAYLOAD_BYTES)}\n`.repeat(plan.inboundMessages);
    // The first round warms everyone up and is not counted.
    for (let round = 0; round <= plan.inboundRounds; round += 1) {
      progress(round === 0 ? 'inbound: warm-up' : `inbound: round ${round} of ${plan.inboundRounds}`);
      for (const qos of [1, 2] as const) {
        const id = (index: number) => `in-${round}-${qos}-${index}`;
        for (const [index, contestant] of contestants.entries()) await contestant.park(id(index), qos);
        await mosquittoPub(broker, ['-V', '5', '-t', TOPIC, '-q', String(qos), '-l'], { stdin: backlog });
        const order = [...contestants.entries()];
        for (const [index, contestant] of round % 2 === 1 ? order : order.reverse()) {
          const all = tap.time(qos === 1 ? PUBACK : PUBCOMP, plan.inboundMessages, DEADLINE);
          const cpuBefore = cpuSeconds(contestant.pid);
          const [milliseconds] = await Promise.all([all, contestant.attach(id(index))]);
          const cpu = cpuSeconds(contestant.pid) - cpuBefore;
          const received = await contestant.received(id(index));
          if (received !== plan.inboundMessages) {
            throw new Error(`${contestant.store}: ${received} of ${plan.inboundMessages} messages were taken in`);
          }
          await contestant.remove(id(index));
          if (round === 0) continue;
          const result = results.find((known) => known.contestant === contestant && known.qos === qos);
          result?.rounds.push({
            messagesPerSecond: (plan.inboundMessages / milliseconds) * 1000,
            cpuPer1000: (cpu / plan.inboundMessages) * 1000,
          });
        }
      }
    }
    return results.map(({ contestant: { store }, qos, rounds }) => ({ store, qos, rounds }));
  });
}

function bridge({ port, pid }: Server, store: StoreName): Contestant {
  const path = (id: string) => `/v1/connections/${id}`;
  return {
    store,
    pid,
    async park(id, qos) {
      const subscriptions = [{ filter: TOPIC, qos }];
      await callJson(port, 'PUT', path(id), { sessionExpiryInterval: SESSION_EXPIRY, subscriptions });
      await callJson(port, 'POST', `${path(id)}/detach`);
    },
    attach: (id) => callJson(port, 'POST', `${path(id)}/attach`),
    async received(id) {
      const view = (await callJson(port, 'GET', path(id))) as { queue: { depth: number } };
      return view.queue.depth;
    },
    remove: (id) => callJson(port, 'DELETE', path(id)),
  };
}

function onlyReceiving({ port, pid }: Server, brokerUrl: string): Contestant {
  return {
    store: null,
    pid,
    async park(id, qos) {
      const client = await connectAsync(brokerUrl, {
        clientId: id,
        protocolVersion: 5,
        clean: false,
        properties: { sessionExpiryInterval: SESSION_EXPIRY },
        reconnectPeriod: 0,
      });
      await client.subscribeAsync(TOPIC, { qos });
      await client.endAsync();
    },
    attach: (id) => callJson(port, 'POST', `/${id}/attach`),
    async received(id) {
      const view = (await callJson(port, 'GET', `/${id}`)) as { received: number };
      return view.received;
    },
    remove: (id) => callJson(port, 'DELETE', `/${id}`),
  };
}
