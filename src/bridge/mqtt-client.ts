import { type IClientOptions, MqttClient } from 'mqtt';
import type { IConnackPacket, Packet } from 'mqtt-packet';
import type { ProtocolLevel } from '../mqtt/protocol-version.ts';
import { describeClientError, describeDisconnect } from './broker-ends.ts';
import { closedBeforeConnack, type LinkEnd, LinkError } from './link-end.ts';
import type { PacketIdentifiers } from './packet-identifiers.ts';
import { type FlowControl, type FlowPacket, PacketSplitter } from './packet-splitter.ts';
import { encodeDisconnect, protocolErrorOf } from './packets.ts';
import { Subscribing, type SubscriptionEntry } from './subscribing.ts';
import { describeTransportError } from './transport-errors.ts';
import { openTransport } from './transports/index.ts';
import type { TransportTarget } from './transports/target.ts';

/** What CONNECT says, in the wire's own terms. */
export interface ConnectOptions {
  target: TransportTarget;
  /** 5, 4 (3.1.1) or 3 (3.1). */
  protocolLevel: ProtocolLevel;
  protocolName: 'MQTT' | 'MQIsdp';
  clientId: string;
  /** Clean Start, or Clean Session on 3.x. */
  clean: boolean;
  /** Seconds; 0 is off. */
  keepAlive: number;
  username?: string;
  password?: Buffer;
  will?: NonNullable<IClientOptions['will']>;
  properties?: NonNullable<IClientOptions['properties']>;
  connectTimeoutMs: number;
  /** Bytes of a payload that are kept of what arrives. */
  maxPayload: number;
}

export interface LinkHandlers {
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

/** The library's own time-out is kept behind ours. */
const LIBRARY_GRACE_MS = 1_000;

/** How long a graceful end may take before the socket is destroyed. */
const DISCONNECT_DEADLINE_MS = 1_000;

/**
 * One network connection to a broker, from CONNECT to its end. MQTT.js does the connection's own packets; its traps
 * are handled here and nowhere else. It never reconnects, resubscribes or queues: that is the bridge's to decide.
 */
export class MqttLink {
  readonly connack: IConnackPacket;
  readonly #splitter: PacketSplitter;
  readonly #subscribing: Subscribing;
  readonly #state: LinkState;
  readonly #protocolLevel: number;

  private constructor(
    splitter: PacketSplitter,
    subscribing: Subscribing,
    state: LinkState,
    connack: IConnackPacket,
    protocolLevel: number,
  ) {
    this.#splitter = splitter;
    this.#subscribing = subscribing;
    this.#state = state;
    this.#protocolLevel = protocolLevel;
    this.connack = connack;
  }

  /** Resolves after a CONNACK that accepts; rejects with `LinkError` otherwise, or when aborted, with nothing left open. */
  static connect(
    options: ConnectOptions,
    identifiers: PacketIdentifiers,
    handlers: LinkHandlers,
    signal?: AbortSignal,
  ): Promise<MqttLink> {
    return new Promise((resolve, reject) => {
      const state = new LinkState();
      let splitter: PacketSplitter | undefined;
      const fail = (end: LinkEnd) => {
        state.end ??= end;
        splitter?.destroy();
      };
      const subscribing = new Subscribing({
        identifiers,
        protocolLevel: options.protocolLevel,
        write: (bytes) => splitter?.writePackets(bytes),
        onProtocolError: (detail) => fail({ kind: 'protocol', detail }),
      });
      const transport = openTransport(options.target);
      const client = new MqttClient(() => {
        const limits = {
          maxPayload: options.maxPayload,
          maximumPacketSize: options.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY,
        };
        splitter = new PacketSplitter(transport, options.protocolLevel, limits, {
          onPacket: (packet, cut) => {
            if (packet.cmd === 'suback' || packet.cmd === 'unsuback') {
              subscribing.onAck(packet);
              return;
            }
            const fault = protocolErrorOf(packet);
            if (fault === null) handlers.onPacket(packet, cut);
            else fail({ kind: 'protocol', detail: `The broker sent ${fault}` });
          },
          onBatchEnd: handlers.onBatchEnd,
          onDrain: handlers.onDrain,
          onMalformed: (error) => {
            fail({ kind: 'protocol', detail: `The broker sent a malformed packet: ${error.message}` });
          },
        });
        splitter.on('error', (error) => {
          state.end ??= describeTransportError(error);
        });
        return splitter;
      }, clientOptions(options));
      let link: MqttLink | undefined;
      // Handlers are attached in the same turn as the connection is begun: packets may follow CONNACK at once (MJ#1124).
      client.on('packetreceive', (packet: Packet) => {
        if (packet.cmd === 'connack') {
          state.connack = packet;
          // Server Keep Alive wins [MQTT-3.1.2-21]; the library obeys it only where neither is 0.
          client.options.keepalive = packet.properties?.serverKeepAlive ?? options.keepAlive;
        }
        if (packet.cmd === 'disconnect') fail(describeDisconnect(packet));
      });
      client.on('error', (error) => fail(describeClientError(error, state.connack)));
      client.on('connect', (connack) => {
        if (splitter === undefined || splitter.destroyed) return;
        if (connack.properties?.receiveMaximum === 0) {
          fail({ kind: 'protocol', detail: 'CONNACK has a Receive Maximum of 0 [MQTT 5.0 §3.2.2.3.3]' });
          return;
        }
        clearTimeout(deadline);
        signal?.removeEventListener('abort', interrupt);
        link = new MqttLink(splitter, subscribing, state, connack, options.protocolLevel);
        resolve(link);
      });
      // The library stops its own clock at any CONNACK, even one that it can make nothing of.
      const deadline = setTimeout(
        () => fail({ kind: 'timeout', detail: 'No CONNACK in time' }),
        options.connectTimeoutMs,
      );
      // CONNECT may have left already: only DISCONNECT keeps the broker from publishing the Will. [MQTT-3.14.4-3]
      const interrupt = () => {
        state.end ??= { kind: 'ours', detail: 'The attempt was interrupted' };
        splitter?.endWith(encodeDisconnect(options.protocolLevel, 0));
        setTimeout(() => splitter?.destroy(), DISCONNECT_DEADLINE_MS).unref();
      };
      if (signal?.aborted) interrupt();
      signal?.addEventListener('abort', interrupt);
      client.on('close', () => {
        clearTimeout(deadline);
        signal?.removeEventListener('abort', interrupt);
        if (state.closed) return;
        state.closed = true;
        const end = state.end ?? CLOSED_BY_PEER;
        subscribing.end(new LinkError(end));
        if (link === undefined) reject(new LinkError(closedBeforeConnack(end)));
        else handlers.onClose(end);
      });
    });
  }

  get alive(): boolean {
    return !this.#state.closed && !this.#state.ending && !this.#splitter.destroyed;
  }

  /** Why it ended; meaningful once it is not alive. */
  get end(): LinkEnd {
    return this.#state.end ?? CLOSED_BY_PEER;
  }

  /** Writes packets of the message flow, already encoded. */
  write(bytes: Uint8Array): void {
    if (!this.alive) return;
    this.#splitter.writePackets(bytes);
    if (this.unsentBytes > MAX_UNSENT_BYTES) this.destroy('The broker does not read what it is sent');
  }

  get unsentBytes(): number {
    return this.#splitter.unsentBytes;
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
    if (!this.alive) return Promise.resolve();
    this.#state.ending = true;
    this.#state.end ??= { kind: 'ours', detail: 'The bridge disconnected' };
    const { reasonCode = 0, sessionExpiryInterval } = packet;
    const properties = sessionExpiryInterval === undefined ? undefined : { sessionExpiryInterval };
    return new Promise((resolve) => {
      const deadline = setTimeout(() => this.#splitter.destroy(), DISCONNECT_DEADLINE_MS);
      this.#splitter.once('close', () => {
        clearTimeout(deadline);
        resolve();
      });
      // Not the library's `end`: it waits for outstanding SUBACKs for ever, or by force sends no DISCONNECT at all.
      this.#splitter.endWith(encodeDisconnect(this.#protocolLevel, reasonCode, properties));
    });
  }

  /** Drops the socket without DISCONNECT: the broker publishes the Will. */
  destroy(detail: string): void {
    this.#state.end ??= { kind: 'ours', detail };
    this.#splitter.destroy();
  }
}

class LinkState {
  end: LinkEnd | undefined;
  connack: IConnackPacket | undefined;
  closed = false;
  ending = false;
}

function clientOptions(options: ConnectOptions): IClientOptions {
  return {
    protocolVersion: options.protocolLevel,
    protocolId: options.protocolName,
    clientId: options.clientId,
    clean: options.clean,
    keepalive: options.keepAlive,
    connectTimeout: options.connectTimeoutMs + LIBRARY_GRACE_MS,
    ...(options.username === undefined ? {} : { username: options.username }),
    // The library passes a Buffer through although its type says string.
    ...(options.password === undefined ? {} : { password: options.password as unknown as string }),
    ...(options.will === undefined ? {} : { will: options.will }),
    ...(options.properties === undefined ? {} : { properties: options.properties }),
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
  };
}
