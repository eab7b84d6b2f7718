import type { IncomingMessage } from '../mqtt/message.ts';
import { GroupWorker } from './group-worker.ts';
import type { MqttLink } from './mqtt-client.ts';
import type { FlowControl, FlowPacket } from './packet-splitter.ts';
import { type AckCommand, encodeAcks, toIncomingMessage } from './packets.ts';
import type { Fence, InboundEntry, QueueLimits, Store } from './ports.ts';

/** Messages in one commit: large enough that the commit's cost is spread, small enough to answer soon. */
const MAX_GROUP = 512;
/** What may wait to be stored, per connection, before the bridge stops reading from the broker. */
const HIGH_WATER = { messages: 4_096, bytes: 16 * 1024 * 1024 };

interface Step {
  entries: InboundEntry[];
  /** What to answer once the entry is committed; nothing at QoS 0. */
  ack: { command: AckCommand; packetId: number } | null;
  bytes: number;
}

export interface InboundOptions {
  store: Pick<Store, 'inbound'>;
  fence: Fence;
  /** Asked at each group, since a caller may change them. */
  limits: () => QueueLimits;
  maxPayload: number;
  /** MQTT 3.1: whether the broker kept the session is not told. */
  sessionMayBeNew: boolean;
  /** The store failed: the connection must be closed, so that the broker sends again what was not acknowledged. */
  onFailure: (error: unknown) => void;
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
  #link: MqttLink | null = null;
  #flow: FlowControl | null = null;
  #generation = 0;
  /** Steps and bytes that are not yet committed. */
  #steps = 0;
  #bytes = 0;
  #paused = false;
  #stopped = false;

  constructor(options: InboundOptions) {
    this.#options = options;
    this.#worker = new GroupWorker({
      work: (group) => this.#commit(group),
      onFailure: options.onFailure,
      maxGroup: MAX_GROUP,
    });
  }

  /** From now on packets are stored under this generation and acknowledged on this link. */
  open(link: MqttLink, generation: number): void {
    this.#link = link;
    this.#generation = generation;
    this.#worker.start();
    this.#applyBackPressure();
  }

  /** Takes a PUBLISH, of whose payload `cut` bytes are missing, or PUBREL; `flush` begins to store what was taken. */
  take(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, cut: number): void {
    if (this.#stopped) return;
    const step = this.#toStep(packet, cut);
    this.#steps += 1;
    this.#bytes += step.bytes;
    this.#worker.add(step);
  }

  flush(flow: FlowControl): void {
    this.#flow = flow;
    if (this.#link !== null) this.#worker.start();
    this.#applyBackPressure();
  }

  /** Resolves when all that was taken is stored and acknowledged. */
  idle(): Promise<void> {
    return this.#worker.idle();
  }

  /** The network connection is gone: what is not yet being stored is left for the broker to send again. */
  stop(): void {
    this.#stopped = true;
    this.#worker.stop();
    this.#link = null;
  }

  #toStep(packet: Extract<FlowPacket, { cmd: 'publish' | 'pubrel' }>, cut: number): Step {
    const packetId = packet.messageId ?? 0;
    if (packet.cmd === 'pubrel') {
      return { entries: [{ kind: 'release', packetId }], ack: { command: 'pubcomp', packetId }, bytes: 0 };
    }
    const message = toIncomingMessage(packet, Date.now(), { maxPayload: this.#options.maxPayload, cut });
    const bytes = message.payload.length + message.topic.length;
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
    const { store, fence, limits } = this.#options;
    await store.inbound.append(
      fence,
      this.#generation,
      group.flatMap(({ entries }) => entries),
      limits(),
    );
    this.#steps -= group.length;
    for (const { bytes } of group) this.#bytes -= bytes;
    this.#applyBackPressure();
    const acks = group.map(({ ack }) => ack).filter((ack) => ack !== null);
    if (acks.length > 0) this.#link?.write(encodeAcks(acks));
  }

  #applyBackPressure(): void {
    const full = this.#steps > HIGH_WATER.messages || this.#bytes > HIGH_WATER.bytes;
    const low = this.#steps < HIGH_WATER.messages / 2 && this.#bytes < HIGH_WATER.bytes / 2;
    if (full && !this.#paused) {
      this.#paused = true;
      this.#flow?.pauseReading();
    } else if (low && this.#paused) {
      this.#paused = false;
      this.#flow?.resumeReading();
    }
  }
}
