import type { Mosquitto } from '../test/helpers/mosquitto.ts';
import { mosquittoPub } from '../test/helpers/mosquitto-clients.ts';
import { cpuSeconds } from './cpu-time.ts';
import { bridge, type InboundContestant, receiver, type Session, TOPIC } from './inbound-contestants.ts';
import type { Options } from './options.ts';
import { type Own, withResources } from './resources.ts';
import { STORES, type StoreName, startBridge, startBroker, startServer } from './servers.ts';
import { PUBACK, PUBCOMP, startWireTap, type WireTap } from './wire-tap.ts';

export const PAYLOAD_BYTES = 100;
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
  readonly rounds: readonly InboundMeasured[];
}

/** A QoS with its own broker, and how the end of a message is seen there. */
interface Lane {
  readonly qos: 1 | 2;
  readonly broker: Mosquitto;
  readonly tap: WireTap;
  readonly lastPacket: typeof PUBACK | typeof PUBCOMP;
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
    const lanes = [await startLane(1, PUBACK, own), await startLane(2, PUBCOMP, own)];
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
    return entries.map(({ lane: { qos }, contestant: { store }, rounds }) => ({ store, qos, rounds }));
  });
}

async function startLane(qos: 1 | 2, lastPacket: Lane['lastPacket'], own: Own): Promise<Lane> {
  const broker = own(await startBroker(qos === 1 ? 0 : MAX_INFLIGHT_QOS2));
  return { qos, broker, tap: own(await startWireTap(broker.port)), lastPacket };
}

/** Gives every contestant the same backlog, and lets them take it in one after the other. */
async function runRound(
  { qos, broker, tap, lastPacket }: Lane,
  contestants: readonly InboundContestant[],
  count: number,
  round: string,
): Promise<ReadonlyMap<InboundContestant, InboundMeasured>> {
  const sessions = new Map<InboundContestant, Session>();
  for (const [index, contestant] of contestants.entries()) {
    const session = { id: `${round}-${qos}-${index}`, url: tap.url, qos };
    await contestant.park(session);
    sessions.set(contestant, session);
  }
  const stdin = `${'x'.repeat(PAYLOAD_BYTES)}\n`.repeat(count);
  await mosquittoPub(broker, ['-V', '5', '-t', TOPIC, '-q', String(qos), '-l'], { stdin });

  const measured = new Map<InboundContestant, InboundMeasured>();
  for (const [contestant, session] of sessions) {
    const all = tap.time(lastPacket, count, DEADLINE);
    const cpuBefore = cpuSeconds(contestant.pid);
    const [milliseconds] = await Promise.all([all, contestant.attach(session)]);
    const cpu = cpuSeconds(contestant.pid) - cpuBefore;
    const received = await contestant.received(session);
    if (received !== count) throw new Error(`${contestant.store}: ${received} of ${count} messages were taken in`);
    await contestant.remove(session);
    measured.set(contestant, {
      messagesPerSecond: (count / milliseconds) * 1000,
      cpuPer1000: (cpu / count) * 1000,
    });
  }
  return measured;
}
