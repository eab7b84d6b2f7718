import type { IPubackPacket, IPubcompPacket, IPubrecPacket } from 'mqtt-packet';
import { Problem } from '../../errors/problem.ts';
import type { PublishOutcome } from '../../mqtt/message.ts';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { FIRST_FAILURE } from '../../mqtt/reason-codes.ts';
import { notOwner } from '../link/link-problems.ts';
import type { MqttLink } from '../link/mqtt-link.ts';
import type { PacketIdentifiers } from '../link/packet-identifiers.ts';
import type { FlowPacket } from '../link/packet-splitter.ts';
import { encodeAck, encodeAcks, markDuplicate } from '../link/packets.ts';
import type { OutboundExchange, Settlement } from '../ports.ts';
import { ExchangeLog, type ExchangeLogOptions } from './exchange-log.ts';
import { type Flight, Flights } from './flights.ts';
import { encodeOutcome } from './outcomes.ts';
import { answerOf, outcomeUnknown } from './publish-answers.ts';
import type { WaitingPublish } from './publish-queue.ts';

/** A packet that ends every network connection it is sent on is sent on so many, and then no more. */
const MAX_REPEATS = 3;

export interface InFlightOptions extends Pick<ExchangeLogOptions, 'exchanges' | 'fence' | 'onFailure'> {
  identifiers: PacketIdentifiers;
  /** The window has room again. */
  onLanded: () => void;
}

/** Which session of the broker a network connection belongs to. */
export interface FlightSession {
  generation: number;
  /** Session Present. */
  present: boolean;
  /** Exchanges that an earlier owner began in this session. */
  former: readonly OutboundExchange[];
  protocolVersion: ProtocolVersion;
}

/** What was published at QoS 1 and 2 and is not fully acknowledged, across the Connection's network connections. */
export class InFlight {
  readonly #options: InFlightOptions;
  readonly #flights: Flights;
  readonly #log: ExchangeLog;
  #link: MqttLink | null = null;
  #generation = 0;
  #version: ProtocolVersion = '5.0';
  /** Flights whose exchange is being recorded: they are sent by whoever asked for that, once it is. */
  readonly #recording = new Set<Flight>();

  constructor(options: InFlightOptions) {
    this.#options = options;
    this.#flights = new Flights(options.identifiers);
    this.#log = new ExchangeLog({
      ...options,
      onReleased: (packetIds) => this.#onReleased(packetIds),
      onFinished: (packetIds) => this.#onFinished(packetIds),
    });
  }

  /** How many there are: the server's Receive Maximum bounds them. [MQTT-3.3.4-7] */
  get size(): number {
    return this.#flights.size;
  }

  get bytes(): number {
    return this.#flights.bytes;
  }

  /** Whether anybody waits for an acknowledgement. */
  get hasCallers(): boolean {
    for (const { caller } of this.#flights) if (caller !== null && !caller.answered) return true;
    return false;
  }

  /** The same, but for the outbox. */
  get isAwaited(): boolean {
    return [...this.#flights].some(({ caller }) => caller?.isAwaited === true);
  }

  has(waiting: WaitingPublish): boolean {
    for (const { caller } of this.#flights) if (caller === waiting) return true;
    return false;
  }

  begin(packetId: number, qos: 1 | 2, packet: Uint8Array, caller: WaitingPublish): Flight {
    return this.#flights.begin(packetId, qos, packet, caller);
  }

  /** Resolves once the QoS 2 flights are recorded in the session of the broker as it is by then. */
  async record(flights: readonly Flight[]): Promise<void> {
    for (const flight of flights) this.#recording.add(flight);
    try {
      let generation: number;
      do {
        generation = this.#generation;
        await this.#log.begin(flights);
      } while (generation !== this.#generation);
    } finally {
      for (const flight of flights) this.#recording.delete(flight);
    }
  }

  /**
   * Gives up flights that were never sent. The store may have recorded an exchange although it did not say so: it is
   * told to forget it when there is a session again, and until then the identifier stays taken.
   */
  cancel(flights: readonly Flight[]): void {
    for (const flight of flights) {
      if (flight.qos === 2) flight.stage = 'ended';
      else this.#flights.remove(flight.packetId);
    }
  }

  /**
   * Another owner may have been there: what is in flight is the store's to say from now on. Answers the callers whose
   * message is to be published again from the start, unless that is for the store to say too; the outcome of QoS 2 cannot
   * be known here.
   */
  forget(): WaitingPublish[] {
    const again: WaitingPublish[] = [];
    for (const flight of this.#flights) {
      const { packetId, qos, caller, sent, answer } = flight;
      if (this.#recording.has(flight)) continue;
      this.#flights.remove(packetId);
      if (caller === null || caller.answered) continue;
      if (answer !== null) tell(flight, answer);
      else if (caller.isTheStores && !(qos === 2 && sent)) caller.reject(notOwner());
      // Recorded, so another owner may have sent it, even if it was not sent here.
      else if (qos === 2) caller.reject(outcomeUnknown('The lease ended while the exchange was under way'));
      else again.push(caller);
    }
    return again;
  }

  /** Resolves when the store has forgotten the exchanges that are over. */
  exchangesForgotten(): Promise<void> {
    return this.#log.forgotten();
  }

  /**
   * Resumes what belongs to the session, in the order it began [MQTT-4.4.0-1]; after a lost session QoS 1 is sent anew,
   * and the outcome of QoS 2 cannot be known. Answers the callers whose message is to be published again from the start.
   */
  open(link: MqttLink, session: FlightSession): WaitingPublish[] {
    this.#link = link;
    this.#generation = session.generation;
    this.#version = session.protocolVersion;
    this.#log.open(session.generation);
    for (const exchange of session.former) this.#flights.adopt(exchange);
    const again = session.present ? [] : this.#forgetLostSession();
    const packets: Buffer[] = [];
    for (const flight of this.#flights) {
      const packet = this.#recording.has(flight) ? null : this.#resume(flight);
      if (packet !== null) packets.push(packet);
    }
    if (packets.length > 0) link.write(Buffer.concat(packets));
    return again;
  }

  close(): void {
    this.#link = null;
    this.#log.close();
  }

  /** Nothing will be acknowledged any more; the problem is for those whose message was not sent, and will not be. */
  stop(problem: Problem): void {
    for (const { caller, sent, qos } of this.#flights) {
      caller?.reject(sent || qos === 2 ? outcomeUnknown(problem.message) : problem);
    }
  }

  onAck(packet: Extract<FlowPacket, { cmd: 'puback' | 'pubrec' | 'pubcomp' }>): void {
    if (packet.cmd === 'puback') this.#onPuback(packet);
    else if (packet.cmd === 'pubrec') this.#onPubrec(packet);
    else this.#onPubcomp(packet);
  }

  #onPuback({ messageId = 0, reasonCode = 0 }: IPubackPacket): void {
    const flight = this.#flights.get(messageId);
    if (flight?.qos !== 1) return;
    this.#flights.remove(messageId);
    tell(flight, answerOf(1, 'puback', reasonCode, this.#version));
    this.#options.onLanded();
  }

  #onPubrec({ messageId = 0, reasonCode = 0 }: IPubrecPacket): void {
    const flight = this.#flights.get(messageId);
    if (flight?.qos === 2 && flight.stage === 'publish') {
      if (reasonCode >= FIRST_FAILURE) {
        this.#finish(flight, reasonCode);
        return;
      }
      flight.stage = 'releasing';
      flight.recReasonCode = reasonCode;
      this.#log.release({ packetId: messageId, reasonCode });
    } else if (flight?.stage !== 'releasing') {
      // Repeated, or of an exchange that is over here: PUBREL lets the broker end it too. [MQTT-4.3.3-4]
      this.#link?.write(encodeAck('pubrel', messageId));
    }
  }

  #onPubcomp({ messageId = 0 }: IPubcompPacket): void {
    const flight = this.#flights.get(messageId);
    if (flight?.stage !== 'release') return;
    // After PUBREC the message is the broker's, whatever PUBCOMP says: it can only not know the exchange any more.
    this.#finish(flight, flight.recReasonCode);
  }

  /**
   * The identifier is free for another exchange only once the store has forgotten this one. Where the outcome is kept,
   * the caller hears of it after that.
   */
  #finish(flight: Flight, reasonCode: number): void {
    const answer = answerOf(2, 'pubrec', reasonCode, this.#version);
    flight.stage = 'ended';
    if (flight.item === null) tell(flight, answer);
    else flight.answer = answer;
    this.#forget(flight);
  }

  #forget(flight: Flight): void {
    this.#log.finish(flight.packetId, settlementOf(flight));
  }

  #onReleased(packetIds: readonly number[]): void {
    for (const packetId of packetIds) {
      const flight = this.#flights.get(packetId);
      if (flight?.stage === 'releasing') flight.stage = 'release';
    }
    this.#link?.write(encodeAcks(packetIds.map((packetId) => ({ command: 'pubrel', packetId }))));
  }

  #onFinished(packetIds: readonly number[]): void {
    for (const packetId of packetIds) {
      const flight = this.#flights.get(packetId);
      if (flight?.stage !== 'ended') continue;
      this.#flights.remove(packetId);
      if (flight.answer !== null) tell(flight, flight.answer);
    }
    this.#options.onLanded();
  }

  /** The packet that goes on with an exchange; null when the store has to be told something first. */
  #resume(flight: Flight): Buffer | null {
    switch (flight.stage) {
      case 'publish': {
        if (flight.sent) flight.repeats += 1;
        if (flight.repeats > MAX_REPEATS) return this.#giveUp(flight);
        const packet = flight.sent ? markDuplicate(flight.packet) : Buffer.from(flight.packet);
        flight.sent = true;
        return packet;
      }
      case 'releasing':
        this.#log.release({ packetId: flight.packetId, reasonCode: flight.recReasonCode });
        return null;
      case 'release':
        return encodeAck('pubrel', flight.packetId);
      case 'ended':
        this.#forget(flight);
        return null;
      case 'poison':
        return null;
    }
  }

  /** Whatever it is that this broker cannot bear in the packet: without an end it would be sent before all others. */
  #giveUp(flight: Flight): null {
    const answer = outcomeUnknown('The connection was lost each time that the message was sent');
    flight.answer = answer;
    tell(flight, answer);
    if (flight.qos === 1) {
      this.#flights.remove(flight.packetId);
      return null;
    }
    flight.stage = 'poison';
    this.#forget(flight);
    return null;
  }

  #forgetLostSession(): WaitingPublish[] {
    const again: WaitingPublish[] = [];
    for (const flight of this.#flights) {
      if (flight.qos === 1) flight.sent = false;
      if (flight.qos === 1 || flight.stage === 'ended' || this.#recording.has(flight)) continue;
      this.#flights.remove(flight.packetId);
      if (flight.caller === null) continue;
      if (!flight.sent) again.push(flight.caller);
      else flight.caller.reject(outcomeUnknown('The broker lost the session while the exchange was under way'));
    }
    return again;
  }
}

function tell({ caller }: Flight, answer: PublishOutcome | Problem): void {
  if (answer instanceof Problem) caller?.reject(answer);
  else caller?.resolve(answer);
}

function settlementOf({ item, answer }: Flight): Settlement | null {
  return item === null ? null : { item, outcome: answer === null ? null : encodeOutcome(answer) };
}
