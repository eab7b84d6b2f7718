import { Problem } from '../errors/problem.ts';
import { generateClientId } from '../mqtt/client-id.ts';
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { type ConnectionParameters, DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEP_ALIVE } from '../schemas/connection.ts';
import type { BrokerProfile } from './dependencies.ts';
import { connectOptions } from './link/connect-options.ts';
import type { Dialer } from './link/dial.ts';
import { problemOfFailure, refusesVersion } from './link/link-problems.ts';
import type { LinkHandlers, MqttLink } from './link/mqtt-link.ts';
import { PacketIdentifiers } from './link/packet-identifiers.ts';
import type { FlowPacket } from './link/packet-splitter.ts';

/** What a pooled client does with what arrives. */
export interface PooledInbound {
  maxPayload: number;
  onPublish(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, link: MqttLink, cut: number): void;
}

/**
 * A client of the bridge's own at one broker, for work that belongs to no Connection and leaves nothing to finish:
 * connected when first needed, with a random ClientID and no session.
 */
export class PooledClient {
  readonly #profile: BrokerProfile;
  readonly #dialer: Dialer;
  readonly #inbound: PooledInbound;
  readonly #identifiers = new PacketIdentifiers();
  #version: ProtocolVersion = '5.0';
  #link: MqttLink | null = null;
  #attempt: Promise<MqttLink> | null = null;
  readonly #stopping = new AbortController();

  constructor(profile: BrokerProfile, dialer: Dialer, inbound: PooledInbound) {
    this.#profile = profile;
    this.#dialer = dialer;
    this.#inbound = inbound;
  }

  /** The network connection, made when there is none; rejects with the problem of making it. */
  async link(): Promise<MqttLink> {
    if (this.#link?.alive) return this.#link;
    if (this.#stopping.signal.aborted) throw shuttingDown();
    this.#attempt ??= this.#connect().finally(() => {
      this.#attempt = null;
    });
    try {
      return await this.#attempt;
    } catch (error) {
      throw this.#stopping.signal.aborted ? shuttingDown() : problemOfFailure(error, this.#version);
    }
  }

  /** Disconnects for good. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#attempt?.catch(() => undefined);
    await this.#link?.disconnect();
  }

  async #connect(): Promise<MqttLink> {
    try {
      return await this.#connectAs(this.#version);
    } catch (error) {
      if (this.#version !== '5.0' || !refusesVersion(error)) throw error;
      this.#version = '3.1.1';
      return this.#connectAs(this.#version);
    }
  }

  async #connectAs(version: ProtocolVersion): Promise<MqttLink> {
    const { maxPayload } = this.#inbound;
    const addresses = connectOptions(throwAway(version), this.#profile, { clean: true, maxPayload });
    this.#link = await this.#dialer.connect(addresses, this.#identifiers, this.#handlers(), this.#stopping.signal);
    return this.#link;
  }

  #handlers(): LinkHandlers {
    return {
      onPacket: (packet, cut) => {
        if (packet.cmd !== 'publish' && packet.cmd !== 'pubrel') return;
        if (this.#link !== null) this.#inbound.onPublish(packet, this.#link, cut);
      },
      onBatchEnd: () => undefined,
      onDrain: () => undefined,
      onClose: () => {
        this.#link = null;
      },
    };
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

function shuttingDown(): Problem {
  return new Problem('shutting-down', { retryAfter: 5 });
}
