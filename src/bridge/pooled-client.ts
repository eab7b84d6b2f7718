import { setTimeout as pause } from 'node:timers/promises';
import { Problem } from '../errors/problem.ts';
import { generateClientId } from '../mqtt/client-id.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { type ConnectionParameters, DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEP_ALIVE } from '../schemas/connection.ts';
import { backoffMs } from './connection/backoff.ts';
import { Outbound } from './delivery/outbound.ts';
import type { BrokerProfile } from './dependencies.ts';
import { connectOptions } from './link/connect-options.ts';
import type { Dialer } from './link/dial.ts';
import { LinkError } from './link/link-end.ts';
import { problemOfFailure } from './link/link-problems.ts';
import type { LinkHandlers, MqttLink } from './link/mqtt-link.ts';
import { PacketIdentifiers } from './link/packet-identifiers.ts';
import type { FlowPacket } from './link/packet-splitter.ts';
import { readServerLimits } from './link/server-limits.ts';
import type { Exchanges, Fence } from './ports.ts';

/** Milliseconds between two attempts at most: those who wait for the next have seconds. */
const LONGEST_PAUSE_MS = 2_000;

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
  readonly #dialer: Dialer;
  readonly #inbound: PooledInbound;
  readonly #identifiers = new PacketIdentifiers();
  #version: ProtocolVersion = '5.0';
  readonly #outbound: Outbound;
  #link: MqttLink | null = null;
  #attempt: Promise<MqttLink> | null = null;
  #generation = 0;
  /** Publishes whose callers wait. */
  #unanswered = 0;
  #isConnecting = false;
  /** Attempts in vain and connections lost since a publish succeeded. */
  #failures = 0;
  /** On the monotonic clock, in milliseconds. */
  #nextAttemptAt = 0;
  readonly #stopping = new AbortController();

  constructor(profile: BrokerProfile, dialer: Dialer, inbound: PooledInbound = NOTHING_ARRIVES) {
    this.#profile = profile;
    this.#dialer = dialer;
    this.#inbound = inbound;
    this.#outbound = new Outbound({
      exchanges: NO_EXCHANGES,
      fence: () => NO_FENCE,
      identifiers: this.#identifiers,
      onFailure: () => undefined,
    });
  }

  /** As `Outbound.publish`; connects when that is needed, again and again until the deadline. */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    if (this.#stopping.signal.aborted) return Promise.reject(shuttingDown());
    const outcome = this.#outbound.publish(message, timeoutMs);
    this.#unanswered += 1;
    outcome.then(
      () => {
        this.#unanswered -= 1;
        this.#failures = 0;
      },
      () => {
        this.#unanswered -= 1;
      },
    );
    void this.#connectForCallers();
    return outcome;
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
      throw problemOfFailure(error, this.#version);
    }
  }

  /** Disconnects for good, and answers who still waits. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#attempt?.catch(() => undefined);
    await this.#link?.disconnect();
    this.#outbound.stop(shuttingDown());
  }

  /** Makes the connection for as long as somebody waits for an answer; one such loop is enough. */
  async #connectForCallers(): Promise<void> {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    const { signal } = this.#stopping;
    while (this.#unanswered > 0 && !this.#link?.alive && !signal.aborted) {
      const wait = Math.max(0, this.#nextAttemptAt - performance.now());
      await pause(wait, undefined, { signal }).catch(() => undefined);
      await this.link().catch((problem: Problem) => {
        if (problem.type === 'broker-refused') this.#outbound.refuseWaiting(problem);
      });
    }
    this.#isConnecting = false;
  }

  #countFailure(): void {
    this.#nextAttemptAt = performance.now() + backoffMs(this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
  }

  async #connect(): Promise<MqttLink> {
    try {
      return await this.#connectAs(this.#version);
    } catch (error) {
      if (this.#version === '5.0' && error instanceof LinkError && WRONG_VERSION.has(error.end.reasonCode)) {
        this.#version = '3.1.1';
        return this.#connect();
      }
      this.#countFailure();
      throw error;
    }
  }

  async #connectAs(version: ProtocolVersion): Promise<MqttLink> {
    const link = await this.#dialer.connect(
      connectOptions(throwAway(version), this.#profile, {
        clean: true,
        maxPayload: this.#inbound.maxPayload,
      }),
      this.#identifiers,
      this.#handlers(),
      this.#stopping.signal,
    );
    this.#link = link;
    this.#generation += 1;
    this.#outbound.open(link, {
      limits: readServerLimits(link.connack),
      generation: this.#generation,
      present: false,
      former: [],
      protocolVersion: version,
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
        this.#countFailure();
        void this.#connectForCallers();
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
