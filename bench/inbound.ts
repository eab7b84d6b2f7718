import type { Mosquitto } from '../test/helpers/mosquitto.ts';
import { mosquittoPub } from '../test/helpers/mosquitto-clients.ts';
import { cpuSeconds } from './cpu-time.ts';
import { bridge, type InboundContestant, receiver, type Session } from './inbound-contestants.ts';
import { PAYLOAD_BYTES } from './load.ts';
import type { Options } from './options.ts';
import { type Own, withResources } from './resources.ts';
import { STORES, type StoreName, startBridge, startBroker, startServer } from './servers.ts';
import { PUBACK, PUBCOMP, startWireTap, type WireTap } from './wire-tap.ts';

/** Of one bridge, when the backlog is divided among many. */
export const MANY_CONNECTIONS = 16;
/**
 * In flight at QoS 2. Mosquitto searches what is in flight for every acknowledgement, and PUBREC finds its message only
 * behind all that wait for PUBCOMP: unbounded, a backlog would measure that search.
 */
export const MAX_INFLIGHT_QOS2 = 1_000;
/** Milliseconds that taking in a backlog may last before the run is given up. */
const DEADLINE = 60_000;

export interface InboundMeasured {
  readonly messagesPerSecond: number;
  /** Seconds that the receiving process spent per 1,000 messages; a Redis server's are not in it. */
  readonly cpuPer1000: number;
}

export interface InboundResult {
  /** Null: received by MQTT.js and not stored. */
  readonly store: StoreName | null;
  readonly qos: 1 | 2;
  /** That take in the backlog at once, each a part of it. */
  readonly connections: number;
  readonly rounds: readonly InboundMeasured[];
}

/** A way to take in a backlog, with its own broker, and how the end of a message is seen there. */
interface Lane {
  readonly qos: 1 | 2;
  readonly connections: number;
  readonly broker: Mosquitto;
  readonly tap: WireTap;
  readonly lastPacket: typeof PUBACK | typeof PUBCOMP;
}

/**
 * Times how long a backlog takes that waits in persistent sessions, from when the first client connects until the
 * broker has every last acknowledgement (PUBACK, or PUBCOMP at QoS 2). All contestants of a round get the same backlog.
 */
export function compareInbound(
  { plan, profile }: Options,
  progress: (text: string) => void,
): Promise<readonly InboundResult[]> {
  return withResources(async (own) => {
    const lanes = [await startLane(1, 1, own), await startLane(1, MANY_CONNECTIONS, own), await startLane(2, 1, own)];
    const mqttUrl = lanes[0]?.broker.url ?? '';
    const contestants = [receiver(own(await startServer('bench/servers/receiver.ts', {})))];
    for (const store of STORES) {
      contestants.push(bridge(await startBridge(store, { mqttUrl, own, profile }), store));
    }

    const entries = lanes.flatMap((lane) =>
      contestants.map((contestant) => ({ lane, contestant, rounds: [] as InboundMeasured[] })),
    );
    // The first round warms everyone up and is not counted.
    for (let round = 0; round <= plan.inboundRounds; round += 1) {
      progress(round === 0 ? 'inbound: warm-up' : `inbound: round ${round} of ${plan.inboundRounds}`);
      const order = round % 2 === 0 ? contestants : contestants.toReversed();
      for (const lane of lanes) {
        const measured = await runRound(lane, order, plan.inboundMessages[lane.qos], `round${round}`);
        if (round === 0) continue;
        for (const entry of entries) {
          const figures = entry.lane === lane ? measured.get(entry.contestant) : undefined;
          if (figures !== undefined) entry.rounds.push(figures);
        }
      }
    }
    return entries.map(({ lane: { qos, connections }, contestant: { store }, rounds }) => ({
      store,
      qos,
      connections,
      rounds,
    }));
  });
}

async function startLane(qos: 1 | 2, connections: number, own: Own): Promise<Lane> {
  const broker = own(await startBroker(qos === 1 ? 0 : MAX_INFLIGHT_QOS2));
  const tap = own(await startWireTap(broker.port));
  return { qos, connections, broker, tap, lastPacket: qos === 1 ? PUBACK : PUBCOMP };
}

/** Gives every contestant the same backlog, a part for each connection, and lets them take it in one after the other. */
async function runRound(
  lane: Lane,
  contestants: readonly InboundContestant[],
  count: number,
  round: string,
): Promise<ReadonlyMap<InboundContestant, InboundMeasured>> {
  const { qos, connections, broker, tap, lastPacket } = lane;
  const topics = Array.from({ length: connections }, (_, index) => `bench/in/${index}`);
  const parked = new Map<InboundContestant, readonly Session[]>();
  for (const [index, contestant] of contestants.entries()) {
    const sessions = topics.map((topic, part) => ({
      id: `${round}-${qos}-${connections}-${index}-${part}`,
      url: tap.url,
      topic,
      qos,
    }));
    for (const session of sessions) await contestant.park(session);
    parked.set(contestant, sessions);
  }
  const stdin = `${'x'.repeat(PAYLOAD_BYTES)}\n`.repeat(count / connections);
  for (const topic of topics) {
    await mosquittoPub(broker, ['-V', '5', '-t', topic, '-q', String(qos), '-l'], { stdin });
  }

  const measured = new Map<InboundContestant, InboundMeasured>();
  for (const [contestant, sessions] of parked) {
    const all = tap.time({ packetType: lastPacket, count, clients: connections }, DEADLINE);
    const cpuBefore = cpuSeconds(contestant.pid);
    const [milliseconds] = await Promise.all([all, ...sessions.map((session) => contestant.attach(session))]);
    const cpu = cpuSeconds(contestant.pid) - cpuBefore;
    for (const session of sessions) {
      const received = await contestant.received(session);
      if (received !== count / connections) {
        throw new Error(`${contestant.store}: ${received} of ${count / connections} messages were taken in`);
      }
      await contestant.remove(session);
    }
    measured.set(contestant, {
      messagesPerSecond: (count / milliseconds) * 1000,
      cpuPer1000: (cpu / count) * 1000,
    });
  }
  return measured;
}
