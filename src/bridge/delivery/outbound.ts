import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../../mqtt/message.ts';
import { PROTOCOLS } from '../../mqtt/protocol-version.ts';
import { notOwner, problemOf, storeProblem } from '../link/link-problems.ts';
import type { MqttLink } from '../link/mqtt-link.ts';
import { encodePublish } from '../link/packets.ts';
import { refusalByLimits, type ServerLimits } from '../link/server-limits.ts';
import { mayHaveCommitted } from '../ports.ts';
import type { Flight } from './flights.ts';
import { type FlightSession, InFlight, type InFlightOptions } from './in-flight.ts';
import { handedOver, outcomeUnknown, refusalByVersion } from './publish-answers.ts';
import { type KeptPublish, PublishQueue, WaitingPublish } from './publish-queue.ts';

/** Bytes handed to the transport but not yet sent, above which no further message is handed over. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/** Bytes that may be in flight: each is kept until it is acknowledged, however long its caller waits. */
const MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024;
const MAX_GROUP = 512;

export interface OutboundOptions extends Omit<InFlightOptions, 'onLanded'> {
  /** Whether it is the store that keeps the Connection from being online. */
  isStoreDown?: () => boolean;
}

/** What a new network connection found. */
export interface OutboundSession extends FlightSession {
  limits: ServerLimits;
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
  readonly #inFlight: InFlight;
  readonly #queue = new PublishQueue();
  #link: MqttLink | null = null;
  #session: OutboundSession | null = null;
  /** Whether what earlier owners left in flight is known. */
  #isComplete = false;
  /** A group waits for the store: the order asks that nothing overtakes it. */
  #recording = false;
  #scheduled = false;
  #idlers: (() => void)[] = [];

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#inFlight = new InFlight({
      ...options,
      onLanded: () => {
        this.#schedule();
        this.#notifyIdle();
      },
    });
  }

  /**
   * Resolves after the acknowledgement that the QoS asks for (QoS 0: once handed to a live transport). Rejects with a
   * `Problem`: `broker-unreachable` or `store-unavailable` when nothing was sent, `outcome-unknown` when it was sent and not acknowledged.
   * The outcome of a `kept` one at QoS 2 is recorded by then, unless the deadline came first.
   */
  publish(message: OutgoingMessage, timeoutMs: number, kept: KeptPublish | null = null): Promise<PublishOutcome> {
    return new Promise((resolve, reject) => {
      // What the outbox sends is bounded there.
      if (kept === null || kept.queuedAt === null) {
        this.#queue.requireRoom(message.payload.length + message.topic.length);
      }
      const onExpiry = (waiting: WaitingPublish) => this.#expire(waiting);
      this.#queue.add(new WaitingPublish(message, { resolve, reject }, { timeoutMs, onExpiry }, kept));
      this.#schedule();
    });
  }

  /** Whether nothing waits to be sent, or to be acknowledged. */
  get isIdle(): boolean {
    return this.#queue.isEmpty && this.#inFlight.size === 0;
  }

  /** Whether that is all: there was a network connection since this instance became the owner. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether callers wait, not the outbox alone. */
  get isAwaited(): boolean {
    return this.#queue.isAwaited || this.#inFlight.isAwaited;
  }

  /** A network connection is up: goes on with what is in flight, then with what waits. */
  open(link: MqttLink, session: OutboundSession): void {
    this.#link = link;
    this.#session = session;
    this.#isComplete = true;
    this.#queue.putBack(this.#inFlight.open(link, session));
    this.#schedule();
  }

  /** See `InFlight.forget`. What waits and is the store's is given up too. */
  forgetFlights(): void {
    this.#isComplete = false;
    const again = this.#inFlight.forget();
    const waiting = this.#queue.takeAll();
    for (const each of waiting) if (each.isTheStores) each.reject(notOwner());
    this.#queue.putBack([...again, ...waiting]);
  }

  /** Resolves when the store has forgotten the exchanges that are over. */
  exchangesForgotten(): Promise<void> {
    return this.#inFlight.exchangesForgotten();
  }

  /** The network connection is gone; what waits goes on waiting for the next, until its deadline. */
  close(): void {
    this.#link = null;
    this.#inFlight.close();
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
    this.#inFlight.stop(problem);
  }

  /** Resolves when every caller has an answer, or the network connection has ended. */
  idle(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idlers.push(resolve));
  }

  onDrain(): void {
    this.#schedule();
  }

  onAck(packet: Parameters<InFlight['onAck']>[0]): void {
    this.#inFlight.onAck(packet);
    this.#notifyIdle();
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
    while (!this.#recording && this.#link?.mayWrite && !this.#queue.isEmpty) {
      const group = this.#admit(this.#link);
      if (group.length === 0) break;
      if (group.some(({ flight }) => flight?.qos === 2)) this.#recordThenWrite(group);
      else this.#write(group);
    }
    this.#notifyIdle();
  }

  /** Takes from the queue, in its order, what the window allows now. */
  #admit(link: MqttLink): Admitted[] {
    const session = this.#session;
    const group: Admitted[] = [];
    if (session === null || link.unsentBytes > MAX_UNSENT_BYTES) return group;
    this.#queue.takeWhile((waiting) => {
      const message = waiting.current();
      if (group.length >= MAX_GROUP) return false;
      const packetId = message.qos === 0 ? 0 : this.#takeIdentifier(session.limits.receiveMaximum);
      if (packetId === null) return false;
      const packet = encodePublish(message, packetId, PROTOCOLS[session.protocolVersion].level);
      const refusal =
        refusalByVersion(message, session.protocolVersion) ?? refusalByLimits(message, packet.length, session.limits);
      if (refusal === null) {
        const flight = message.qos === 0 ? null : this.#inFlight.begin(packetId, message.qos, packet, waiting);
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
    const full = this.#inFlight.size >= receiveMaximum || this.#inFlight.bytes >= MAX_IN_FLIGHT_BYTES;
    return full ? null : this.#options.identifiers.allocate();
  }

  async #recordThenWrite(group: readonly Admitted[]): Promise<void> {
    const flights = group.map(({ flight }) => flight).filter((flight) => flight !== null);
    const link = this.#link;
    this.#recording = true;
    try {
      await this.#inFlight.record(flights.filter(({ qos }) => qos === 2));
      this.#write(group);
    } catch (error) {
      this.#inFlight.cancel(flights);
      for (const { waiting } of group) waiting.reject(unrecorded(waiting, error));
      // A network connection that is gone, or came since, is not to be ended for it.
      if (link === this.#link) this.#options.onFailure(error);
    } finally {
      this.#recording = false;
      this.#schedule();
    }
  }

  #write(group: readonly Admitted[]): void {
    const link = this.#link;
    const alive = link?.alive === true;
    // What the link holds back is not handed to a live transport: at QoS 0 that is all that can be answered.
    const unsaid = link?.mayWrite === true ? [] : group.filter(({ flight }) => flight === null);
    const said = unsaid.length === 0 ? group : group.filter(({ flight }) => flight !== null);
    if (alive && said.length > 0) link.write(join(said));
    for (const { waiting, flight } of said) {
      // Without a connection flights stay, and are sent when it is back.
      if (flight !== null) flight.sent = alive;
      else waiting.resolve(handedOver());
    }
    this.#queue.putBack(unsaid.map(({ waiting }) => waiting));
  }

  #expire(waiting: WaitingPublish): void {
    waiting.reject(this.#lateness(waiting));
    this.#notifyIdle();
  }

  #lateness(waiting: WaitingPublish): Problem {
    if (this.#inFlight.has(waiting)) return outcomeUnknown('The message was sent and not acknowledged in time');
    if (this.#link?.alive) {
      return new Problem('no-answer', { detail: 'The message was not sent in time: others wait before it' });
    }
    return this.#options.isStoreDown?.() === true
      ? storeProblem('nothing was sent')
      : new Problem('broker-unreachable', { detail: 'The broker could not be reached in time; nothing was sent' });
  }

  #isIdle(): boolean {
    return !this.#link?.alive || (this.#queue.isEmpty && !this.#inFlight.hasCallers);
  }

  #notifyIdle(): void {
    if (this.#idlers.length === 0 || !this.#isIdle()) return;
    for (const resolve of this.#idlers.splice(0)) resolve();
  }
}

/** An exchange that the store may have recorded may be sent by the next owner, unless this one can take it back before. */
function unrecorded({ message, kept }: WaitingPublish, error: unknown): Problem {
  const isKnown = message.qos !== 2 || !mayHaveCommitted(error);
  // Of one whose outcome is kept a repeat asks the store.
  return isKnown || kept !== null
    ? problemOf(error)
    : outcomeUnknown('The store did not say whether it has the message: it may be sent later');
}

function join(group: readonly Admitted[]): Buffer {
  const [first] = group;
  return group.length === 1 && first ? first.packet : Buffer.concat(group.map(({ packet }) => packet));
}
