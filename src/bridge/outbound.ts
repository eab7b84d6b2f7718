import type { IPubackPacket, IPubcompPacket, IPubrecPacket } from 'mqtt-packet';
import { Problem } from '../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import { PROTOCOLS, type ProtocolVersion } from '../mqtt/protocol-version.ts';
import { FIRST_FAILURE } from '../mqtt/reason-codes.ts';
import { ExchangeLog } from './exchange-log.ts';
import { type Flight, Flights } from './flights.ts';
import type { MqttLink } from './mqtt-client.ts';
import type { PacketIdentifiers } from './packet-identifiers.ts';
import type { FlowPacket } from './packet-splitter.ts';
import { encodeAck, encodeAcks, encodePublish, markDuplicate } from './packets.ts';
import type { Exchanges, Fence, OutboundExchange } from './ports.ts';
import { answerOf, outcomeUnknown, requireVersionOf } from './publish-answers.ts';
import { PublishQueue, WaitingPublish } from './publish-queue.ts';
import { refusalByLimits, type ServerLimits } from './server-limits.ts';

/** Bytes handed to the transport but not yet sent, above which no further message is handed over. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
const MAX_GROUP = 512;

export interface OutboundOptions {
  exchanges: Pick<Exchanges, 'begin' | 'release' | 'finish'>;
  fence: () => Fence;
  identifiers: PacketIdentifiers;
  protocolVersion: ProtocolVersion;
  /** The store failed in the middle of an exchange: the connection must be closed and the exchange resumed later. */
  onFailure: (error: unknown) => void;
}

/** What a new network connection found. */
export interface OutboundSession {
  limits: ServerLimits;
  generation: number;
  /** Session Present. */
  present: boolean;
  /** Exchanges that an earlier owner began in this session. */
  former: readonly OutboundExchange[];
}

interface Admitted {
  waiting: WaitingPublish;
  packet: Buffer;
  /** Null at QoS 0. */
  flight: Flight | null;
}

/**
 * The outbound flow of a Connection, across its network connections: a bounded queue, the server's Receive Maximum as
 * window, deadlines of our own, and QoS 2 exchanges recorded in the store before each step that cannot be taken back.
 */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #level: number;
  readonly #flights: Flights;
  readonly #queue = new PublishQueue();
  readonly #log: ExchangeLog;
  #link: MqttLink | null = null;
  #session: OutboundSession | null = null;
  /** A group waits for the store: the order asks that nothing overtakes it. */
  #beginning = false;
  #scheduled = false;
  #idlers: (() => void)[] = [];

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#level = PROTOCOLS[options.protocolVersion].level;
    this.#flights = new Flights(options.identifiers);
    this.#log = new ExchangeLog({
      ...options,
      onReleased: (packetIds) => this.#onReleased(packetIds),
      onFinished: (packetIds) => this.#onFinished(packetIds),
    });
  }

  get hasWaiting(): boolean {
    return !this.#queue.isEmpty;
  }

  /**
   * Resolves after the acknowledgement that the QoS asks for (QoS 0: once handed to a live transport). Rejects with a
   * `Problem`: `broker-unreachable` when nothing was sent, `outcome-unknown` when it was sent and not acknowledged.
   */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    return new Promise((resolve, reject) => {
      requireVersionOf(message, this.#options.protocolVersion);
      this.#queue.requireRoom(message.payload.length + message.topic.length);
      const onExpiry = (waiting: WaitingPublish) => this.#expire(waiting);
      this.#queue.add(new WaitingPublish(message, { resolve, reject }, { timeoutMs, onExpiry }));
      this.#schedule();
    });
  }

  /**
   * A network connection is up. Exchanges of the same session are resumed in the order they began [MQTT-4.4.0-1]; after
   * a lost session QoS 1 is sent anew, and the outcome of QoS 2 cannot be known.
   */
  open(link: MqttLink, session: OutboundSession): void {
    this.#link = link;
    this.#session = session;
    this.#log.open(session.generation);
    for (const exchange of session.former) this.#flights.adopt(exchange);
    if (!session.present) this.#forgetLostSession();
    const packets: Buffer[] = [];
    for (const flight of this.#flights) {
      if (flight.stage === 'releasing') this.#log.release(flight.packetId);
      if (flight.stage === 'ended') this.#log.finish(flight.packetId);
      if (flight.stage === 'release') packets.push(encodeAck('pubrel', flight.packetId));
      // Unsent ones of a group that waits for the store are written when it is recorded.
      if (flight.stage !== 'publish' || (this.#beginning && !flight.sent)) continue;
      packets.push(flight.sent ? markDuplicate(flight.packet) : Buffer.from(flight.packet));
      flight.sent = true;
    }
    if (packets.length > 0) link.write(Buffer.concat(packets));
    this.#schedule();
  }

  /** The network connection is gone; what waits goes on waiting for the next, until its deadline. */
  close(): void {
    this.#link = null;
    this.#log.close();
    this.#notifyIdle();
  }

  /** Answers those whose message was not sent, because the state says that it will not be. */
  refuseWaiting(problem: Problem): void {
    for (const waiting of this.#queue.takeAll()) waiting.reject(problem);
    this.#notifyIdle();
  }

  /** Nothing will be sent or acknowledged any more: answers everyone. */
  stop(problem: Problem): void {
    this.close();
    this.refuseWaiting(problem);
    for (const { caller } of this.#flights) caller?.reject(outcomeUnknown(problem.message));
  }

  /** Resolves when every caller has an answer, or the network connection has ended. */
  idle(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idlers.push(resolve));
  }

  onDrain(): void {
    this.#schedule();
  }

  onAck(packet: Extract<FlowPacket, { cmd: 'puback' | 'pubrec' | 'pubcomp' }>): void {
    if (packet.cmd === 'puback') this.#onPuback(packet);
    else if (packet.cmd === 'pubrec') this.#onPubrec(packet);
    else this.#onPubcomp(packet);
    this.#notifyIdle();
  }

  #onPuback({ messageId = 0, reasonCode = 0 }: IPubackPacket): void {
    const flight = this.#flights.get(messageId);
    if (flight?.qos !== 1) return;
    this.#flights.remove(messageId);
    this.#answer(flight.caller, 'puback', reasonCode);
    this.#schedule();
  }

  #onPubrec({ messageId = 0, reasonCode = 0 }: IPubrecPacket): void {
    const flight = this.#flights.get(messageId);
    if (flight?.qos === 2 && flight.stage === 'publish') {
      if (reasonCode >= FIRST_FAILURE) {
        this.#answer(flight.caller, 'pubrec', reasonCode);
        this.#finish(flight);
        return;
      }
      flight.stage = 'releasing';
      flight.recReasonCode = reasonCode;
      this.#log.release(messageId);
    } else if (flight?.stage !== 'releasing') {
      // Repeated, or of an exchange that is over here: PUBREL lets the broker end it too. [MQTT-4.3.3-4]
      this.#link?.write(encodeAck('pubrel', messageId));
    }
  }

  #onPubcomp({ messageId = 0, reasonCode = 0 }: IPubcompPacket): void {
    const flight = this.#flights.get(messageId);
    if (flight?.stage !== 'release') return;
    // After PUBREC the message is the broker's: "Packet Identifier not found" only says that it had ended the exchange.
    this.#answer(
      flight.caller,
      'pubrec',
      reasonCode >= FIRST_FAILURE ? flight.recReasonCode : reasonCode || flight.recReasonCode,
    );
    this.#finish(flight);
  }

  /** The identifier is free for another exchange only once the store has forgotten this one. */
  #finish(flight: Flight): void {
    flight.stage = 'ended';
    this.#log.finish(flight.packetId);
  }

  #onReleased(packetIds: readonly number[]): void {
    for (const packetId of packetIds) {
      const flight = this.#flights.get(packetId);
      if (flight?.stage === 'releasing') flight.stage = 'release';
    }
    this.#link?.write(encodeAcks(packetIds.map((packetId) => ({ command: 'pubrel', packetId }))));
  }

  #onFinished(packetIds: readonly number[]): void {
    for (const packetId of packetIds) this.#flights.remove(packetId);
    this.#schedule();
  }

  /** Sends at the end of this turn of the event loop, so that requests which arrived together share one write. */
  #schedule(): void {
    if (this.#scheduled || this.#link === null || this.#queue.isEmpty) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    while (!this.#beginning && this.#link?.alive && !this.#queue.isEmpty) {
      const group = this.#admit(this.#link);
      if (group.length === 0) break;
      if (group.some(({ flight }) => flight?.qos === 2)) this.#beginThenWrite(group);
      else this.#write(group);
    }
    this.#notifyIdle();
  }

  /** Takes from the queue, in its order, what the window allows now. */
  #admit(link: MqttLink): Admitted[] {
    const limits = this.#session?.limits;
    const group: Admitted[] = [];
    if (limits === undefined || link.unsentBytes > MAX_UNSENT_BYTES) return group;
    this.#queue.takeWhile((waiting) => {
      const { message } = waiting;
      if (group.length >= MAX_GROUP) return false;
      const packetId = message.qos === 0 ? 0 : this.#takeIdentifier(limits.receiveMaximum);
      if (packetId === null) return false;
      const packet = encodePublish(message, packetId, this.#level);
      const refusal = refusalByLimits(message, packet.length, limits);
      if (refusal === null) {
        const flight = message.qos === 0 ? null : this.#flights.begin(packetId, message.qos, packet, waiting);
        group.push({ waiting, packet, flight });
      } else {
        this.#options.identifiers.free(packetId);
        waiting.reject(refusal);
      }
      return true;
    });
    return group;
  }

  #takeIdentifier(receiveMaximum: number): number | null {
    return this.#flights.size < receiveMaximum ? this.#options.identifiers.allocate() : null;
  }

  async #beginThenWrite(group: readonly Admitted[]): Promise<void> {
    this.#beginning = true;
    try {
      const begun = group.filter(({ flight }) => flight?.qos === 2);
      await this.#log.begin(begun.map(({ flight, packet }) => ({ packetId: flight?.packetId ?? 0, packet })));
      this.#write(group);
    } catch (error) {
      const problem = new Problem('store-unavailable', { cause: error, retryAfter: 1 });
      for (const { waiting, flight } of group) {
        if (flight !== null) this.#flights.remove(flight.packetId);
        waiting.reject(problem);
      }
      this.#options.onFailure(error);
    } finally {
      this.#beginning = false;
      this.#schedule();
    }
  }

  #write(group: readonly Admitted[]): void {
    const link = this.#link;
    const alive = link?.alive === true;
    // Flights stay and are sent when the session is resumed; a QoS 0 message waits again, behind the others.
    if (alive) link.write(join(group));
    for (const { waiting, flight } of group) {
      if (flight !== null) flight.sent = alive;
      else if (alive) this.#answer(waiting, 'puback', 0);
      else this.#queue.add(waiting);
    }
  }

  #forgetLostSession(): void {
    for (const flight of this.#flights) {
      if (flight.qos === 1) {
        flight.sent = false;
      } else if (flight.stage !== 'ended' && (flight.sent || flight.stage !== 'publish')) {
        this.#flights.remove(flight.packetId);
        flight.caller?.reject(outcomeUnknown('The broker lost the session while the exchange was under way'));
      }
    }
  }

  #expire(waiting: WaitingPublish): void {
    waiting.reject(this.#lateness(waiting));
    this.#notifyIdle();
  }

  #lateness(waiting: WaitingPublish): Problem {
    for (const { caller } of this.#flights) {
      if (caller === waiting) return outcomeUnknown('The message was sent and not acknowledged in time');
    }
    return this.#link?.alive
      ? new Problem('no-answer', { detail: 'The message was not sent in time: others wait before it' })
      : new Problem('broker-unreachable', { detail: 'The broker could not be reached in time; nothing was sent' });
  }

  #answer(caller: WaitingPublish | null, packet: 'puback' | 'pubrec', reasonCode: number): void {
    if (caller === null) return;
    const answer = answerOf(caller.message, packet, reasonCode, this.#options.protocolVersion);
    if (answer instanceof Problem) caller.reject(answer);
    else caller.resolve(answer);
  }

  #isIdle(): boolean {
    if (!this.#link?.alive) return true;
    if (!this.#queue.isEmpty) return false;
    for (const { caller } of this.#flights) if (caller !== null && !caller.answered) return false;
    return true;
  }

  #notifyIdle(): void {
    if (this.#idlers.length === 0 || !this.#isIdle()) return;
    for (const resolve of this.#idlers.splice(0)) resolve();
  }
}

function join(group: readonly Admitted[]): Buffer {
  const [first] = group;
  return group.length === 1 && first ? first.packet : Buffer.concat(group.map(({ packet }) => packet));
}
