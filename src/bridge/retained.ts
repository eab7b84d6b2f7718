import { Problem } from '../errors/problem.ts';
import type { IncomingMessage } from '../mqtt/message.ts';
import { FIRST_FAILURE, reasonName } from '../mqtt/reason-codes.ts';
import { compileFilter } from '../mqtt/topics.ts';
import type { Granted } from '../schemas/subscription.ts';
import type { BrokerProfile } from './dependencies.ts';
import type { RetainedPage } from './facade.ts';
import type { Dialer } from './link/dial.ts';
import { problemOfFailure } from './link/link-problems.ts';
import type { MqttLink } from './link/mqtt-link.ts';
import type { FlowPacket } from './link/packet-splitter.ts';
import { encodeAck, toIncomingMessage } from './link/packets.ts';
import { readServerLimits, subscriptionRefusal } from './link/server-limits.ts';
import { PooledClient } from './pooled-client.ts';

/** MQTT has no end mark for retained messages: this long without one after SUBACK, in milliseconds, counts as the end. */
const QUIET_MS = 150;
/** What one read may hold in memory; beyond it the answer is not complete. */
const MAX_READ = { messages: 10_000, bytes: 64 * 1024 * 1024 };

interface Collected {
  messages: IncomingMessage[];
  complete: boolean;
}

/** One read under way: a subscription that lives until the broker has fallen silent. */
interface Reading {
  matches: (topic: string) => boolean;
  byTopic: Map<string, IncomingMessage>;
  bytes: number;
  /** Ends the read: `true` when the quiet time was reached, or nothing more can come. */
  finish: (complete: boolean) => void;
  quiet: NodeJS.Timeout | undefined;
  exact: boolean;
}

/**
 * Reads retained messages of one broker. Reads of the same filter run one after the other, since the broker sends them
 * anew at every SUBSCRIBE; those that come while one is under way share the next, so that each sees what was published
 * before it was asked for.
 */
export class RetainedReader {
  readonly #client: PooledClient;
  readonly #maxPayload: number;
  readonly #readings = new Set<Reading>();
  readonly #running = new Map<string, Promise<Collected>>();
  readonly #next = new Map<string, Promise<Collected>>();

  constructor(profile: BrokerProfile, dialer: Dialer, maxPayload: number) {
    this.#maxPayload = maxPayload;
    this.#client = new PooledClient(profile, dialer, {
      maxPayload,
      onPublish: (packet, link, cut) => this.#onPacket(packet, link, cut),
    });
  }

  /** The network connection that it reads through; rejects with the problem of making it. */
  link(): Promise<MqttLink> {
    return this.#client.link();
  }

  /** The retained message of a topic; null when the broker sent none within the quiet time. */
  async one(topic: string, timeoutMs: number): Promise<IncomingMessage | null> {
    const { messages, complete } = await this.#read(topic, timeoutMs);
    const [message] = messages;
    if (message === undefined && !complete)
      throw new Problem('no-answer', { detail: 'The broker sent no SUBACK in time' });
    return message ?? null;
  }

  async page(request: {
    filter: string;
    limit: number;
    after: string | null;
    timeoutMs: number;
  }): Promise<RetainedPage> {
    const { after, limit } = request;
    const { messages, complete } = await this.#read(request.filter, request.timeoutMs);
    const sorted = messages
      .filter(({ topic }) => after === null || topic > after)
      .sort((a, b) => (a.topic < b.topic ? -1 : 1));
    const page = sorted.slice(0, limit);
    return { messages: page, complete, next: sorted.length > limit ? (page.at(-1)?.topic ?? null) : null };
  }

  stop(): Promise<void> {
    return this.#client.stop();
  }

  #read(filter: string, timeoutMs: number): Promise<Collected> {
    const running = this.#running.get(filter);
    if (running === undefined) return this.#start(filter, timeoutMs);
    const waiting = this.#next.get(filter);
    if (waiting !== undefined) return waiting;
    const next = running
      .catch(() => undefined)
      .then(() => {
        this.#next.delete(filter);
        return this.#start(filter, timeoutMs);
      });
    this.#next.set(filter, next);
    return next;
  }

  #start(filter: string, timeoutMs: number): Promise<Collected> {
    const reading = this.#collect(filter, timeoutMs).finally(() => {
      if (this.#running.get(filter) === reading) this.#running.delete(filter);
    });
    this.#running.set(filter, reading);
    return reading;
  }

  async #collect(filter: string, timeoutMs: number): Promise<Collected> {
    const link = await this.#client.link();
    const unavailable = subscriptionRefusal({ filter, qos: 2 }, readServerLimits(link.connack));
    if (unavailable !== null) throw refusal(unavailable);
    let reading: Reading | undefined;
    const ended = new Promise<boolean>((finish) => {
      const exact = !/[+#]/.test(filter);
      reading = { matches: compileFilter(filter), byTopic: new Map(), bytes: 0, finish, quiet: undefined, exact };
      this.#readings.add(reading);
    });
    if (reading === undefined) throw new Error('unreachable');
    const { finish } = reading;
    const deadline = setTimeout(() => finish(false), timeoutMs);
    try {
      const entry = { filter, qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
      const subscribing = link.subscribe([entry]).catch((error) => Promise.reject(problemOfFailure(error, '5.0')));
      const [code = FIRST_FAILURE] = await Promise.race([subscribing, ended.then(() => [0])]);
      if (code >= FIRST_FAILURE) {
        throw refusal({ reasonCode: code, reason: reasonName('suback', code, '5.0') });
      }
      this.#restartQuiet(reading);
      const complete = await ended;
      return { messages: [...reading.byTopic.values()], complete };
    } finally {
      clearTimeout(deadline);
      clearTimeout(reading.quiet);
      this.#readings.delete(reading);
      // Packets keep their order, so that the next read need not wait for UNSUBACK, which might never come.
      if (link.alive) link.unsubscribe([filter]).catch(() => undefined);
    }
  }

  #onPacket(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, link: MqttLink, cut: number): void {
    const packetId = packet.messageId ?? 0;
    if (packet.cmd === 'pubrel') {
      link.write(encodeAck('pubcomp', packetId));
      return;
    }
    if (packet.qos > 0) link.write(encodeAck(packet.qos === 1 ? 'puback' : 'pubrec', packetId));
    // Without Retain As Published the flag is set only on what is sent because of the subscription. [MQTT-3.3.1-12]
    if (!packet.retain) return;
    const message = toIncomingMessage(packet, Date.now(), { maxPayload: this.#maxPayload, cut });
    for (const reading of this.#readings) {
      if (reading.matches(message.topic)) this.#add(reading, message);
    }
  }

  #add(reading: Reading, message: IncomingMessage): void {
    reading.byTopic.set(message.topic, message);
    reading.bytes += message.payload.length + message.topic.length;
    const full = reading.byTopic.size >= MAX_READ.messages || reading.bytes >= MAX_READ.bytes;
    if (reading.exact) reading.finish(true);
    else if (full) reading.finish(false);
    else if (reading.quiet !== undefined) this.#restartQuiet(reading);
  }

  #restartQuiet(reading: Reading): void {
    clearTimeout(reading.quiet);
    reading.quiet = setTimeout(() => reading.finish(true), QUIET_MS);
  }
}

function refusal({ reasonCode, reason }: Pick<Granted, 'reasonCode' | 'reason'>): Problem {
  return new Problem('broker-refused', { detail: `The broker refused the filter: ${reason}`, reasonCode, reason });
}
