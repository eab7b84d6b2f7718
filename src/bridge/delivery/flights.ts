import type { Problem } from '../../errors/problem.ts';
import type { PublishOutcome } from '../../mqtt/message.ts';
import type { PacketIdentifiers } from '../link/packet-identifiers.ts';
import type { OutboundExchange, PublicationItem } from '../ports.ts';
import type { WaitingPublish } from './publish-queue.ts';

/** A QoS 1 or 2 publish between its PUBLISH and its last acknowledgement. */
export interface Flight {
  readonly packetId: number;
  readonly qos: 1 | 2;
  /** The PUBLISH as it went out first. */
  readonly packet: Uint8Array;
  /**
   * `publish`: PUBLISH is all that may have been sent; `releasing`: PUBREC came and is being recorded; `release`: PUBREL
   * may be sent; `ended`: PUBCOMP came, and the store is forgetting the exchange; `poison`: given up, with its
   * identifier taken for as long as the broker may know it.
   */
  stage: 'publish' | 'releasing' | 'release' | 'ended' | 'poison';
  /** How many network connections it was sent again on. */
  repeats: number;
  /** Whether PUBLISH may have left: then it is repeated with DUP. */
  sent: boolean;
  /** PUBREC's reason code: it, not PUBCOMP's, tells whether someone subscribes. */
  recReasonCode: number;
  /** Null when nobody ever waited here: a former owner began it. */
  readonly caller: WaitingPublish | null;
  /** Whose outcome is recorded when the exchange ends; null where nobody asked for that. QoS 2 only. */
  readonly item: PublicationItem | null;
  /** What is to be recorded: null until it is known, or when nothing was sent. */
  answer: PublishOutcome | Problem | null;
}

/** The flights of a Connection by packet identifier; in use, an identifier is taken. Iterates in the order they began. */
export class Flights {
  readonly #identifiers: PacketIdentifiers;
  readonly #flights = new Map<number, Flight>();
  #bytes = 0;

  constructor(identifiers: PacketIdentifiers) {
    this.#identifiers = identifiers;
  }

  get size(): number {
    return this.#flights.size;
  }

  /** Bytes of their packets, which are kept to be sent again. */
  get bytes(): number {
    return this.#bytes;
  }

  [Symbol.iterator](): IterableIterator<Flight> {
    return this.#flights.values();
  }

  get(packetId: number): Flight | undefined {
    return this.#flights.get(packetId);
  }

  /** Begins a flight under an identifier that was allocated for it. */
  begin(packetId: number, qos: 1 | 2, packet: Uint8Array, caller: WaitingPublish): Flight {
    const flight: Flight = {
      packetId,
      qos,
      packet,
      stage: 'publish',
      sent: false,
      repeats: 0,
      recReasonCode: 0,
      caller,
      item: qos === 2 ? (caller.kept?.item ?? null) : null,
      answer: null,
    };
    this.#add(flight);
    return flight;
  }

  /** Takes over a QoS 2 exchange that a former owner began; whether its PUBLISH left is not known, so it may have. */
  adopt({ packetId, stage, reasonCode, packet, item }: OutboundExchange): void {
    if (this.#flights.has(packetId)) return;
    this.#identifiers.reserve(packetId);
    const state = { sent: true, repeats: 0, recReasonCode: reasonCode, caller: null, answer: null };
    this.#add({ packetId, qos: 2, packet, stage, item, ...state });
  }

  remove(packetId: number): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined) return;
    this.#flights.delete(packetId);
    this.#bytes -= flight.packet.length;
    this.#identifiers.free(packetId);
  }

  #add(flight: Flight): void {
    this.#flights.set(flight.packetId, flight);
    this.#bytes += flight.packet.length;
  }
}
