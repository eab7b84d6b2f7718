import { generateClientId } from '../mqtt/client-id.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { type ConnectionParameters, DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEP_ALIVE } from '../schemas/connection.ts';
import { backoffMs } from './backoff.ts';
import { connectOptions } from './connect-options.ts';
import type { BrokerProfile } from './dependencies.ts';
import { dial } from './dial.ts';
import { LinkError } from './link-end.ts';
import { isWorthRetrying, problemOfFailure } from './link-problems.ts';
import type { LinkHandlers, MqttLink } from './mqtt-client.ts';
import { Outbound } from './outbound.ts';
import { PacketIdentifiers } from './packet-identifiers.ts';
import type { FlowPacket } from './packet-splitter.ts';
import type { Exchanges, Fence } from './ports.ts';
import { readServerLimits } from './server-limits.ts';

/** CONNACK codes that say "not this protocol version": v5 has its own, older brokers answer with 3.1.1's. */
const WRONG_VERSION: ReadonlySet<number | undefined> = new Set([0x84, 0x01]);

/** A throw-away client keeps nothing: after a crash its QoS 2 exchanges are gone with their session. */
const NO_EXCHANGES: Pick<Exchanges, 'begin' | 'release' | 'finish'> = {
  begin: () => Promise.resolve(),
  release: () => Promise.resolve(),
  finish: () => Promise.resolve(),
};
const NO_FENCE: Fence = { key: '' as Fence['key'], epoch: '' as Fence['epoch'] };

/** What a pooled client does with what arrives. */
export interface PooledInbound {
  maxPayload: number;
  onPublish(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, link: MqttLink, cut: number): void;
}

const NOTHING_ARRIVES: PooledInbound = { maxPayload: 0, onPublish: () => undefined };

/**
 * A client of the bridge's own at one broker, for work that belongs to no Connection: connected when first needed, with
 * a random ClientID and no session to leave behind.
 */
export class PooledClient {
  readonly #profile: BrokerProfile;
  readonly #inbound: PooledInbound;
  readonly #identifiers = new PacketIdentifiers();
  #version: ProtocolVersion = '5.0';
  #outbound: Outbound;
  #link: MqttLink | null = null;
  #attempt: Promise<MqttLink> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #generation = 0;

  constructor(profile: BrokerProfile, inbound: PooledInbound = NOTHING_ARRIVES) {
    this.#profile = profile;
    this.#inbound = inbound;
    this.#outbound = this.#createOutbound();
  }

  /** As `Outbound.publish`; connects when that is needed, again and again until the deadline. */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    const outcome = this.#outbound.publish(message, timeoutMs);
    if (!this.#link?.alive) this.#connectForWaiting();
    return outcome;
  }

  /** The network connection, made when there is none; rejects with the problem of making it. */
  async link(): Promise<MqttLink> {
    if (this.#link?.alive) return this.#link;
    this.#attempt ??= this.#connect().finally(() => {
      this.#attempt = null;
    });
    try {
      return await this.#attempt;
    } catch (error) {
      throw problemOfFailure(error, this.#version);
    }
  }

  async stop(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#link?.disconnect();
  }

  #connectForWaiting(): void {
    clearTimeout(this.#retry);
    this.link().then(
      () => {
        this.#failures = 0;
      },
      (problem) => {
        if (problem.type === 'broker-refused') this.#outbound.refuseWaiting(problem);
        if (!this.#outbound.hasWaiting) return;
        this.#retry = setTimeout(() => this.#connectForWaiting(), backoffMs(this.#failures));
        this.#failures += 1;
      },
    );
  }

  async #connect(): Promise<MqttLink> {
    try {
      return await this.#connectAs(this.#version);
    } catch (error) {
      const older = error instanceof LinkError && WRONG_VERSION.has(error.end.reasonCode) && this.#version === '5.0';
      if (!older || isWorthRetrying(error, this.#version)) throw error;
      this.#version = '3.1.1';
      this.#outbound = this.#createOutbound();
      return this.#connectAs(this.#version);
    }
  }

  async #connectAs(version: ProtocolVersion): Promise<MqttLink> {
    const link = await dial(
      connectOptions(throwAway(version), this.#profile, {
        clean: true,
        maxPayload: this.#inbound.maxPayload,
      }),
      this.#identifiers,
      this.#handlers(),
    );
    this.#link = link;
    this.#generation += 1;
    this.#outbound.open(link, {
      limits: readServerLimits(link.connack),
      generation: this.#generation,
      present: false,
      former: [],
    });
    return link;
  }

  #handlers(): LinkHandlers {
    return {
      onPacket: (packet, cut) => {
        if (packet.cmd !== 'publish' && packet.cmd !== 'pubrel') this.#outbound.onAck(packet);
        else if (this.#link !== null) this.#inbound.onPublish(packet, this.#link, cut);
      },
      onBatchEnd: () => undefined,
      onDrain: () => this.#outbound.onDrain(),
      onClose: () => {
        this.#link = null;
        this.#outbound.close();
        if (this.#outbound.hasWaiting) this.#connectForWaiting();
      },
    };
  }

  #createOutbound(): Outbound {
    return new Outbound({
      exchanges: NO_EXCHANGES,
      fence: () => NO_FENCE,
      identifiers: this.#identifiers,
      protocolVersion: this.#version,
      onFailure: () => undefined,
    });
  }
}

function throwAway(protocolVersion: ProtocolVersion): ConnectionParameters {
  return {
    clientId: generateClientId(),
    protocolVersion,
    connectTimeout: DEFAULT_CONNECT_TIMEOUT,
    keepAlive: DEFAULT_KEEP_ALIVE,
  } as ConnectionParameters;
}
