import { setTimeout as sleep } from 'node:timers/promises';
import type { IncomingMessage } from '../../mqtt/message.ts';
import type { MqttLink } from '../link/mqtt-link.ts';
import type { FlowControl, FlowPacket } from '../link/packet-splitter.ts';
import { type AckCommand, encodeAcks, toIncomingMessage } from '../link/packets.ts';
import type { Fence, InboundEntry, QueueLimits, Store } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';
import { BackPressure } from './back-pressure.ts';
import { GroupWorker } from './group-worker.ts';

/** In one commit: large enough that the commit's cost is spread, small enough to answer soon. */
const MAX_GROUP = { items: 512, bytes: 4 * 1024 * 1024 };
/** How often a queue that holds is looked at: whoever makes room may be another instance. */
const HOLD_INTERVAL_MS = 250;

interface Step {
  entries: InboundEntry[];
  /** What to answer once the entry is committed; nothing at QoS 0. */
  ack: { command: AckCommand; packetId: number } | null;
  /** Of the packet. */
  bytes: number;
}

export interface InboundOptions {
  store: Pick<Store, 'inbound' | 'queues'>;
  fence: Fence;
  /** Asked at each group, since a caller may change them. */
  limits: () => QueueLimits;
  maxPayload: number;
  /** MQTT 3.1: whether the broker kept the session is not told. */
  sessionMayBeNew: boolean;
  /** The store failed: the connection must be closed, so that the broker sends again what was not acknowledged. */
  onFailure: (error: unknown) => void;
  /** The queue is full and holds, or takes messages again. */
  onHold: (held: boolean) => void;
}

/**
 * The inbound flow of one network connection: store in groups, then acknowledge. PUBACK, PUBREC and PUBCOMP leave only
 * after what they acknowledge is committed, in the order in which it came. [MQTT-4.6.0-2, MQTT-4.6.0-3]
 *
 * Packets may arrive before `open`, since brokers send right after CONNACK; they wait until the generation is known.
 */
export class Inbound {
  readonly #options: InboundOptions;
  readonly #worker: GroupWorker<Step>;
  readonly #backPressure = new BackPressure();
  readonly #stopping = new AbortController();
  #link: MqttLink | null = null;
  #generation = 0;
  /** The queue is full: nothing is acknowledged until there is room. */
  #held = false;
  readonly #quiet = new Stopwatch();

  constructor(options: InboundOptions) {
    this.#options = options;
    this.#worker = new GroupWorker({
      work: (group) => this.#commit(group),
      onFailure: options.onFailure,
      maxGroup: MAX_GROUP.items,
      maxBytes: MAX_GROUP.bytes,
      bytesOf: ({ bytes }) => bytes,
    });
  }

  /** Milliseconds since something came. */
  get quietMs(): number {
    return this.#quiet.elapsedMs;
  }

  /** Whether all that came is stored and acknowledged. */
  get hasSettled(): boolean {
    return this.#worker.isIdle;
  }

  /** From now on packets are stored under this generation and acknowledged on this link. */
  open(link: MqttLink, generation: number): void {
    this.#link = link;
    this.#generation = generation;
    this.#worker.start();
    this.#backPressure.apply();
  }

  /** Takes a PUBLISH, of whose payload `cut` bytes are missing, or PUBREL; `flush` begins to store what was taken. */
  take(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, cut: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#quiet.restart();
    const step = this.#toStep(packet, cut);
    if (step.ack === null && (this.#held || !this.#backPressure.admitsQoS0())) {
      this.#backPressure.drop();
      return;
    }
    this.#backPressure.add(step.bytes);
    this.#worker.add(step);
  }

  flush(flow: FlowControl): void {
    if (this.#link !== null) this.#worker.start();
    this.#backPressure.apply(flow);
  }

  /** Resolves when all that was taken is stored and acknowledged, or waits for room in the queue. */
  async idle(): Promise<void> {
    if (!this.#held) await this.#worker.idle();
    await this.#countDropped().catch(() => undefined);
  }

  /** The network connection is gone: what is not yet being stored is left for the broker to send again. */
  stop(): void {
    this.#stopping.abort();
    this.#worker.stop();
    this.#backPressure.stop();
    this.#link = null;
    this.#countDropped().catch(() => undefined);
  }

  #toStep(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, cut: number): Step {
    const packetId = packet.messageId ?? 0;
    if (packet.cmd === 'pubrel') {
      return { entries: [{ kind: 'release', packetId }], ack: { command: 'pubcomp', packetId }, bytes: 0 };
    }
    const message = toIncomingMessage(packet, Date.now(), { maxPayload: this.#options.maxPayload, cut });
    const bytes = packet.length ?? 0;
    switch (message.qos) {
      case 0:
        return { entries: [{ kind: 'message', message }], ack: null, bytes };
      case 1:
        return { entries: [{ kind: 'message', message }], ack: { command: 'puback', packetId }, bytes };
      case 2:
        return { entries: this.#exactlyOnce(message, packetId), ack: { command: 'pubrec', packetId }, bytes };
    }
  }

  /** Where a session may have been lost unnoticed, an identifier that comes without DUP is a new message's. */
  #exactlyOnce(message: IncomingMessage, packetId: number): InboundEntry[] {
    const entry: InboundEntry = { kind: 'message', message, packetId };
    return this.#options.sessionMayBeNew && !message.dup ? [{ kind: 'release', packetId }, entry] : [entry];
  }

  async #commit(group: Step[]): Promise<void> {
    let rest = group;
    do {
      const done = await this.#append(rest);
      this.#settle(rest.slice(0, done));
      rest = this.#dropQoS0(rest.slice(done));
      this.#hold(rest.length > 0);
      await this.#countDropped();
    } while (await this.#roomFor(rest[0]));
  }

  /** Stores from the front; answers how many steps are done. All, unless the queue is full and holds. */
  async #append(steps: readonly Step[]): Promise<number> {
    const { store, fence, limits } = this.#options;
    const entries = steps.flatMap((step) => step.entries);
    const { taken } = await store.inbound.append(fence, this.#generation, entries, limits());
    if (taken === entries.length) return steps.length;
    let count = 0;
    // A step that is half done is done again: its release is idempotent.
    return steps.findIndex(({ entries: { length } }) => {
      count += length;
      return count > taken;
    });
  }

  #settle(done: readonly Step[]): void {
    this.#backPressure.remove(done.length, sum(done));
    const acks = done.map(({ ack }) => ack).filter((ack) => ack !== null);
    if (acks.length > 0) this.#link?.write(encodeAcks(acks));
  }

  /** There is no acknowledgement to hold back. */
  #dropQoS0(steps: readonly Step[]): Step[] {
    const dropped = steps.filter(({ ack }) => ack === null);
    this.#backPressure.remove(dropped.length, sum(dropped));
    this.#backPressure.drop(dropped.length);
    return steps.filter(({ ack }) => ack !== null);
  }

  #hold(held: boolean): void {
    if (held === this.#held || this.#stopping.signal.aborted) return;
    this.#held = held;
    this.#options.onHold(held);
  }

  /** Waits until the queue may take that step; false when there is none, or when stopped. */
  async #roomFor(step: Step | undefined): Promise<boolean> {
    const { store, fence, limits } = this.#options;
    const { signal } = this.#stopping;
    while (step !== undefined && !signal.aborted) {
      await sleep(HOLD_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return false;
      await this.#countDropped();
      // Reading is cheap; an append that takes nothing would be a write each time.
      const { depth, bytes } = await store.queues.stats(fence.key);
      const { overflow, maxMessages, maxBytes } = limits();
      const mayFit = depth < maxMessages && bytes + leastSize(step) <= maxBytes;
      if (overflow !== 'hold' || depth === 0 || mayFit) return !signal.aborted;
    }
    return false;
  }

  async #countDropped(): Promise<void> {
    const count = this.#backPressure.takeDropped();
    if (count > 0) await this.#options.store.queues.countDropped(this.#options.fence, count);
  }
}

function sum(steps: readonly Step[]): number {
  return steps.reduce((bytes, step) => bytes + step.bytes, 0);
}

/** Bytes that a step takes in the queue, or fewer: stores add some of their own. */
function leastSize({ entries }: Step): number {
  return entries.reduce((bytes, entry) => bytes + (entry.kind === 'message' ? entry.message.payload.length : 0), 0);
}
