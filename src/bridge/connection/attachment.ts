import type { IConnackPacket } from 'mqtt-packet';
import { Inbound, type InboundOptions } from '../delivery/inbound.ts';
import type { Outbound, OutboundSession } from '../delivery/outbound.ts';
import type { Dialer } from '../link/dial.ts';
import type { LinkEnd } from '../link/link-end.ts';
import type { ConnectOptions } from '../link/mqtt-client.ts';
import type { LinkHandlers, MqttLink } from '../link/mqtt-link.ts';
import type { PacketIdentifiers } from '../link/packet-identifiers.ts';
import type { FlowControl, FlowPacket } from '../link/packet-splitter.ts';
import type { Standing } from '../ownership/lease-clock.ts';
import { within } from '../waiting.ts';

/** How a network connection is ended by us. */
export interface Ending {
  /** v5: DISCONNECT 0x04; 3.x: without DISCONNECT: either way the broker publishes the Will. */
  will?: 'send';
  /** v5: seconds that the session is to live on from now. */
  sessionExpiryInterval?: number;
}

const DISCONNECT_WITH_WILL = 0x04;
/** How long a graceful end waits for acknowledgements that are under way, each way. */
const DRAIN_DEADLINE_MS = 2_000;

export interface AttachmentOptions {
  dialer: Dialer;
  addresses: readonly ConnectOptions[];
  identifiers: PacketIdentifiers;
  inbound: InboundOptions;
  outbound: Outbound;
  /** The network connection ended after `watch`, and not by `end` or `abandon`. */
  onLost: (end: LinkEnd, connectedAt: number) => void;
  /** Whether the lease allows to send. */
  standing: () => Standing;
  /** Ends the attempt. */
  signal: AbortSignal;
}

/** One network connection of a Connection, with the inbound flow that belongs to it alone. */
export class Attachment {
  readonly link: MqttLink;
  /** When CONNACK came, in milliseconds. */
  readonly connectedAt: number;
  readonly #protocolLevel: number;
  readonly #inbound: Inbound;
  readonly #outbound: Outbound;
  /** Whether its end is told: not before all is in place, nor once we end it. */
  readonly #watched: { yes: boolean };

  private constructor(link: MqttLink, options: AttachmentOptions, inbound: Inbound, watched: { yes: boolean }) {
    this.link = link;
    this.connectedAt = Date.now();
    this.#protocolLevel = options.addresses[0]?.protocolLevel ?? 5;
    this.#inbound = inbound;
    this.#outbound = options.outbound;
    this.#watched = watched;
  }

  /** Connects. What arrives waits, and nothing is sent, until `open` says which session this is. */
  static async connect(options: AttachmentOptions): Promise<Attachment> {
    const { dialer, addresses, identifiers, outbound, onLost, standing, signal } = options;
    const inbound = new Inbound(options.inbound);
    const watched = { yes: false };
    const handlers: LinkHandlers = {
      standing,
      onPacket: (packet: FlowPacket, cut: number) => {
        if (packet.cmd === 'publish' || packet.cmd === 'pubrel') inbound.take(packet, cut);
        else outbound.onAck(packet);
      },
      onBatchEnd: (flow: FlowControl) => inbound.flush(flow),
      onDrain: () => outbound.onDrain(),
      onClose: (end: LinkEnd) => {
        inbound.stop();
        if (!watched.yes) return;
        outbound.close();
        onLost(end, attachment?.connectedAt ?? Date.now());
      },
    };
    let attachment: Attachment | undefined;
    const link = await dialer.connect(addresses, identifiers, handlers, signal);
    attachment = new Attachment(link, options, inbound, watched);
    return attachment;
  }

  /** Milliseconds since CONNACK, or since the broker sent a message. */
  get quietMs(): number {
    return this.#inbound.quietMs;
  }

  get hasSettled(): boolean {
    return this.#inbound.hasSettled;
  }

  letThrough(): void {
    this.link.letThrough();
    this.#outbound.onDrain();
  }

  get connack(): IConnackPacket {
    return this.link.connack;
  }

  /** The store knows which session this is: from now on the flows run, both ways. */
  open(session: OutboundSession): void {
    this.#inbound.open(this.link, session.generation);
    this.#outbound.open(this.link, session);
  }

  /** All is in place: from now on its end is a loss, which is told. */
  watch(): void {
    this.#watched.yes = true;
  }

  /**
   * Ends it in order: what is under way is acknowledged first, both ways, within a deadline. Answers whether DISCONNECT
   * could be sent.
   */
  async end(ending: Ending = {}): Promise<boolean> {
    await within(DRAIN_DEADLINE_MS, this.#outbound.idle());
    this.link.pauseReading();
    await within(DRAIN_DEADLINE_MS, this.#inbound.idle());
    this.#letGo();
    // What still arrives is not acknowledged: the broker keeps it.
    this.link.resumeReading();
    if (ending.will === 'send' && this.#protocolLevel < 5) {
      this.link.destroy('The Will was asked for');
      return false;
    }
    const { alive } = this.link;
    await this.link.disconnect({
      ...(ending.will === 'send' ? { reasonCode: DISCONNECT_WITH_WILL } : {}),
      ...(ending.sessionExpiryInterval === undefined ? {} : { sessionExpiryInterval: ending.sessionExpiryInterval }),
    });
    return alive;
  }

  /** Disconnects at once: nothing more is acknowledged or sent. */
  abandon(): void {
    this.#letGo();
    this.link.disconnect().catch(() => undefined);
  }

  #letGo(): void {
    this.#watched.yes = false;
    this.#inbound.stop();
    this.#outbound.close();
  }
}
