import type { IConnackPacket } from 'mqtt-packet';
import type { Standing } from '../ownership/lease-clock.ts';
import { openTransport } from '../transports/index.ts';
import type { TlsContexts } from '../transports/tls-contexts.ts';
import { within } from '../waiting.ts';
import { startAuthentication } from './authentication-methods.ts';
import { KeepAlive } from './keep-alive.ts';
import { closedBeforeConnack, type LinkEnd, LinkError } from './link-end.ts';
import { type ConnectOptions, startClient } from './mqtt-client.ts';
import { packetFault } from './packet-faults.ts';
import type { PacketIdentifiers } from './packet-identifiers.ts';
import { type FlowControl, type FlowPacket, type OwnPacket, PacketSplitter } from './packet-splitter.ts';
import { encodeDisconnect, PINGREQ, withoutUserName } from './packets.ts';
import { Subscribing, type SubscriptionEntry } from './subscribing.ts';
import { describeTransportError } from './transport-errors.ts';

export interface LinkOptions extends ConnectOptions {
  contexts: TlsContexts;
}

export interface LinkHandlers {
  /** Whether the lease allows to send; without it nothing is asked for. */
  standing?(): Standing;
  /** A packet of the message flow. May be called before `connect` resolves: brokers send at once after CONNACK. */
  onPacket(packet: FlowPacket, cut: number): void;
  /** All packets of one read have been handed over. */
  onBatchEnd(flow: FlowControl): void;
  /** The transport can take more. */
  onDrain(): void;
  /** Called once when an established connection is gone, for whatever reason. */
  onClose(reason: LinkEnd): void;
}

const CLOSED_BY_PEER: LinkEnd = { kind: 'closed', detail: 'The network connection was closed by the peer' };

/** A broker that makes us answer without reading the answers must not fill the memory. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

/** How long a graceful end may take before the socket is destroyed. */
const DISCONNECT_DEADLINE_MS = 1_000;
/** The same, for one that has been silent for too long. */
const SILENT_DEADLINE_MS = 50;

/** One network connection to a broker, from CONNECT to its end. */
export class MqttLink {
  readonly #options: ConnectOptions;
  readonly #handlers: LinkHandlers;
  readonly #splitter: PacketSplitter;
  readonly #subscribing: Subscribing;
  #keepAlive: KeepAlive | null = null;
  #connack: IConnackPacket | null = null;
  #end: LinkEnd | undefined;
  #closed = false;
  #ending = false;
  /** What waits until it is sure that the lease is still ours. */
  #heldBack: Uint8Array[] = [];
  #heldBytes = 0;
  /** Who waits for PINGRESP. */
  readonly #pinging = new Set<(answered: boolean) => void>();

  private constructor(options: LinkOptions, identifiers: PacketIdentifiers, handlers: LinkHandlers) {
    const { protocolLevel, target, contexts, maxPayload, properties, username, password } = options;
    this.#options = options;
    this.#handlers = handlers;
    this.#subscribing = new Subscribing({
      identifiers,
      protocolLevel,
      write: (bytes) => this.write(bytes),
      onProtocolError: (detail) => this.#fail({ kind: 'protocol', detail }),
    });
    const maximumPacketSize = properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
    const lonePassword = username === undefined && password !== undefined;
    this.#splitter = new PacketSplitter(
      openTransport(target, contexts),
      {
        protocolLevel,
        limits: { maxPayload, maximumPacketSize },
        rewriteConnect: lonePassword ? (connect) => withoutUserName(connect, password.length) : undefined,
      },
      {
        onPacket: (packet, cut) => this.#take(packet, cut),
        onBatchEnd: (flow) => {
          this.#keepAlive?.received();
          handlers.onBatchEnd(flow);
        },
        onDrain: handlers.onDrain,
        onMalformed: (error) => {
          this.#fail({ kind: 'protocol', detail: `The broker sent a malformed packet: ${error.message}` });
        },
      },
    );
    this.#splitter.on('error', (error) => {
      this.#end ??= describeTransportError(error);
    });
  }

  /** Resolves after a CONNACK that accepts; rejects with `LinkError` otherwise, or when aborted, with nothing left open. */
  static connect(
    options: LinkOptions,
    identifiers: PacketIdentifiers,
    handlers: LinkHandlers,
    signal?: AbortSignal,
  ): Promise<MqttLink> {
    return new Promise((resolve, reject) => {
      const authentication = startAuthentication(options.authentication);
      const link = new MqttLink(options, identifiers, handlers);
      // The library stops its own clock at any CONNACK, even one that it can make nothing of.
      const deadline = setTimeout(
        () => link.#fail({ kind: 'timeout', detail: 'No CONNACK in time' }),
        options.connectTimeoutMs,
      );
      const interrupt = () => link.#interrupt();
      const settled = () => {
        clearTimeout(deadline);
        signal?.removeEventListener('abort', interrupt);
      };
      startClient(link.#splitter, options, authentication, {
        onAccepted: (connack) => {
          settled();
          link.#established(connack);
          resolve(link);
        },
        onEnd: (end) => link.#fail(end),
        onClose: () => {
          settled();
          if (link.#closed) return;
          link.#onClose();
          if (link.#connack === null) reject(new LinkError(closedBeforeConnack(link.end)));
          else handlers.onClose(link.end);
        },
      });
      if (signal?.aborted) interrupt();
      signal?.addEventListener('abort', interrupt);
    });
  }

  /** The CONNACK that accepted the connection. */
  get connack(): IConnackPacket {
    if (this.#connack === null) throw new Error('There was no CONNACK');
    return this.#connack;
  }

  /** Whether something may be sent: a connection that has been silent for too long is not alive, whatever its socket says. */
  get alive(): boolean {
    return this.#isOpen && this.#keepAlive?.isSilent !== true;
  }

  /** Why it ended; meaningful once it is not alive. */
  get end(): LinkEnd {
    return this.#end ?? CLOSED_BY_PEER;
  }

  /** Whether what is written leaves at once. */
  get mayWrite(): boolean {
    return this.alive && this.#heldBack.length === 0 && this.#standing === 'sure';
  }

  /** Milliseconds since bytes came from the broker. */
  get silentForMs(): number {
    return this.#keepAlive?.silentForMs ?? 0;
  }

  /** Whether the broker answers a PINGREQ within that time: a socket that looks alive may have slept. */
  async answersPing(withinMs: number): Promise<boolean> {
    if (!this.alive) return false;
    const answered = new Promise<boolean>((resolve) => this.#pinging.add(resolve));
    this.#splitter.writePackets(PINGREQ);
    return (await within(withinMs, answered)) === true;
  }

  /**
   * Writes packets, already encoded. They wait while it is not sure that the lease is still ours, and never leave when
   * it is over: a process that was stopped must not send what another owner may have sent meanwhile.
   */
  write(bytes: Uint8Array): void {
    if (!this.alive) return;
    const standing = this.#standing;
    if (standing === 'over') {
      void this.disconnect();
      return;
    }
    if (standing === 'unsure' || this.#heldBack.length > 0) {
      this.#heldBack.push(bytes);
      this.#heldBytes += bytes.length;
    } else {
      this.#splitter.writePackets(bytes);
    }
    if (this.unsentBytes > MAX_UNSENT_BYTES) this.destroy('The broker does not read what it is sent');
  }

  /** The lease was confirmed: what was held back leaves. */
  letThrough(): void {
    if (this.#heldBack.length === 0 || this.#standing !== 'sure') return;
    const held = Buffer.concat(this.#heldBack);
    this.#heldBack = [];
    this.#heldBytes = 0;
    this.write(held);
  }

  get unsentBytes(): number {
    return this.#splitter.unsentBytes + this.#heldBytes;
  }

  pauseReading(): void {
    this.#splitter.pauseReading();
  }

  resumeReading(): void {
    this.#splitter.resumeReading();
  }

  /** Sends one SUBSCRIBE; answers SUBACK's code for each filter, refused ones included. */
  subscribe(entries: readonly SubscriptionEntry[], subscriptionIdentifier?: number): Promise<number[]> {
    return this.#subscribing.subscribe(entries, subscriptionIdentifier);
  }

  /** Sends one UNSUBSCRIBE; answers UNSUBACK's code for each filter (none on 3.x). */
  unsubscribe(filters: readonly string[]): Promise<number[]> {
    return this.#subscribing.unsubscribe(filters);
  }

  /** Sends DISCONNECT and ends the connection; by force when the peer does not close in time. */
  disconnect(packet: { reasonCode?: number; sessionExpiryInterval?: number } = {}): Promise<void> {
    // Into silence too: a broker that is there after all, because only a clock was set, is not to publish the Will.
    if (!this.#isOpen) return Promise.resolve();
    this.#end ??= { kind: 'ours', detail: 'The bridge disconnected' };
    const { reasonCode = 0, sessionExpiryInterval } = packet;
    const properties = sessionExpiryInterval === undefined ? undefined : { sessionExpiryInterval };
    return new Promise((resolve) => {
      this.#splitter.once('close', resolve);
      // Not the library's `end`: it waits for outstanding SUBACKs for ever, or by force sends no DISCONNECT at all.
      this.#endWith(encodeDisconnect(this.#options.protocolLevel, reasonCode, properties));
    });
  }

  /** Drops the socket without DISCONNECT: the broker publishes the Will. */
  destroy(detail: string): void {
    this.#fail({ kind: 'ours', detail });
  }

  get #isOpen(): boolean {
    return !this.#closed && !this.#ending && !this.#splitter.destroyed;
  }

  get #standing(): Standing {
    return this.#handlers.standing?.() ?? 'sure';
  }

  #established(connack: IConnackPacket): void {
    const { protocolLevel } = this.#options;
    this.#connack = connack;
    this.#keepAlive = new KeepAlive({
      // Server Keep Alive wins. [MQTT-3.1.2-21]
      seconds: connack.properties?.serverKeepAlive ?? this.#options.keepAlive,
      ping: () => this.#splitter.writePackets(PINGREQ),
      isReading: () => this.#splitter.isReading,
      onSilence: () => {
        this.#end ??= { kind: 'silent', detail: 'The broker was silent for 1.5 times the Keep Alive' };
        if (this.#isOpen) this.#endWith(encodeDisconnect(protocolLevel, 0), SILENT_DEADLINE_MS);
      },
    });
  }

  #take(packet: OwnPacket, cut: number): void {
    const fault = packetFault(packet);
    if (fault !== null) this.#fail({ kind: 'protocol', detail: `The broker sent ${fault}` });
    else if (packet.cmd === 'suback' || packet.cmd === 'unsuback') this.#subscribing.onAck(packet);
    else if (packet.cmd === 'pingresp') this.#endPings(true);
    else this.#handlers.onPacket(packet, cut);
  }

  #endPings(answered: boolean): void {
    for (const resolve of this.#pinging) resolve(answered);
    this.#pinging.clear();
  }

  #fail(end: LinkEnd): void {
    this.#end ??= end;
    this.#splitter.destroy();
  }

  /** CONNECT may have left already: only DISCONNECT keeps the broker from publishing the Will. [MQTT-3.14.4-3] */
  #interrupt(): void {
    this.#end ??= { kind: 'ours', detail: 'The attempt was interrupted' };
    this.#endWith(encodeDisconnect(this.#options.protocolLevel, 0));
  }

  /** Writes a last packet, and closes by force when the peer does not in time. */
  #endWith(bytes: Uint8Array, withinMs = DISCONNECT_DEADLINE_MS): void {
    this.#ending = true;
    const deadline = setTimeout(() => this.#splitter.destroy(), withinMs);
    this.#splitter.once('close', () => clearTimeout(deadline));
    this.#splitter.endWith(bytes);
  }

  #onClose(): void {
    this.#closed = true;
    this.#keepAlive?.stop();
    this.#endPings(false);
    this.#subscribing.end(new LinkError(this.end));
  }
}
