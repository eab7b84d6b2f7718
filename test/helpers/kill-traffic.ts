import { setTimeout as pause } from 'node:timers/promises';
import type { BridgeProcess } from './bridge-process.ts';
import { connectPublisher, type RawPublisher } from './kill-publisher.ts';
import { type RawSubscriber, startSubscriber } from './kill-subscriber.ts';
import { type Flow, judge, Sender, type Verdict } from './ledger.ts';
import type { Mosquitto } from './mosquitto.ts';
import { until } from './until.ts';

export const TRAFFIC_PATH = '/v1/connections/keeper';
/** Of what the publisher of each QoS sends together; below the 20 that Mosquitto has in flight unless told otherwise. */
const BATCH = 8;
/** Milliseconds between two of those. */
const BATCH_PAUSE = 40;
const CALLERS_PER_QOS = 2;
/** Answers of the bridge that say that nothing was sent, and nothing will be. */
const NOT_SENT = new Set(['broker-unreachable', 'no-answer', 'store-unavailable', 'overloaded', 'not-owner']);

/** Lines of mosquitto.conf that let it keep all, and send it in its order: see the limits in docs/delivery.md. */
export const PATIENT_BROKER = ['max_queued_messages 0', 'max_inflight_messages 0'];

export interface FlowReport {
  readonly name: string;
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly received: number;
  readonly verdict: Verdict;
}

/** Messages in both directions through one Connection of a bridge, at QoS 1 and 2, while things break. */
export interface Traffic {
  /** How many messages both kinds of senders were told are done. */
  readonly acknowledged: { readonly inbound: number; readonly outbound: number };
  /** Answers to callers that were no problem of this API, and no broken connection. */
  readonly strange: readonly string[];
  /** Waits until so many more are acknowledged in each direction. */
  flows(count: number, within?: number): Promise<void>;
  /** No new messages from here on; waits for the answers to those under way. */
  pause(): Promise<void>;
  /** Ends it, waits until all has arrived that was promised to, and compares what its ends saw. */
  finish(within?: number): Promise<FlowReport[]>;
  stop(): Promise<void>;
}

interface Page {
  messages: { topic: string; payload: string }[];
  next: string | null;
}

const LEVELS = [1, 2] as const;

/** Declares the Connection and begins. All that is published goes once: nobody but the bridge and the broker repeats. */
export async function startTraffic(broker: Mosquitto, bridge: BridgeProcess): Promise<Traffic> {
  const declared = await bridge.request<{ state: string }>('PUT', TRAFFIC_PATH, {
    json: {
      cleanStart: false,
      sessionExpiryInterval: 3_600,
      subscriptions: LEVELS.map((qos) => ({ filter: `in/${qos}`, qos })),
      queue: { maxMessages: 1_000_000 },
    },
  });
  if (declared.json.state !== 'online') throw new Error(`the Connection is not online: ${declared.text}`);
  const judging = await startSubscriber(broker.port, 'judge', 'out/#');
  return new KeeperTraffic(broker, bridge, judging);
}

class KeeperTraffic implements Traffic {
  readonly strange: string[] = [];
  readonly #broker: Mosquitto;
  readonly #bridge: BridgeProcess;
  readonly #judging: RawSubscriber;
  readonly #inbound = LEVELS.map((qos) => ({ qos, sender: new Sender(`in/${qos}`) }));
  readonly #outbound = LEVELS.flatMap((qos) =>
    Array.from({ length: CALLERS_PER_QOS }, (_, caller) => ({ qos, sender: new Sender(`out/${qos}/${caller}`) })),
  );
  readonly #loops: Promise<void>[];
  #stopping = false;

  constructor(broker: Mosquitto, bridge: BridgeProcess, judging: RawSubscriber) {
    this.#broker = broker;
    this.#bridge = bridge;
    this.#judging = judging;
    this.#loops = [
      ...this.#inbound.map(({ qos, sender }) => this.#publishAll(qos, sender)),
      ...this.#outbound.map(({ qos, sender }) => this.#callAll(qos, sender)),
    ];
  }

  get acknowledged() {
    const count = (flows: { sender: Sender }[]) => flows.reduce((sum, { sender }) => sum + sender.acknowledged.size, 0);
    return { inbound: count(this.#inbound), outbound: count(this.#outbound) };
  }

  async flows(count: number, within = 20_000): Promise<void> {
    const before = this.acknowledged;
    const grown = (direction: keyof typeof before) => this.acknowledged[direction] >= before[direction] + count;
    await until(() => grown('inbound') && grown('outbound'), { what: `${count} messages each way`, within });
  }

  async pause(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#loops);
  }

  async finish(within = 20_000): Promise<FlowReport[]> {
    await this.pause();
    const publisher = await connectPublisher(this.#broker.port);
    for (const { qos, sender } of this.#inbound) await this.#publish(publisher, sender, qos, 1);
    publisher.close();
    for (const { qos, sender } of this.#outbound) {
      await until(() => this.#call(sender, qos), { what: `a last answer to ${sender.name}`, within });
    }
    const queue = await this.#queueUntil(
      this.#inbound.map(({ sender }) => last(sender)),
      within,
    );
    const delivered = await this.#deliveredUntil(
      this.#outbound.map(({ sender }) => last(sender)),
      within,
    );
    await this.stop();
    return [
      ...this.#inbound.map(({ qos, sender }) => report(sender, qos, queue)),
      ...this.#outbound.map(({ qos, sender }) => report(sender, qos, delivered)),
    ];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#judging.stop();
  }

  async #publishAll(qos: 1 | 2, sender: Sender): Promise<void> {
    let publisher: RawPublisher | null = null;
    while (!this.#stopping) {
      try {
        publisher ??= await connectPublisher(this.#broker.port);
        await this.#publish(publisher, sender, qos, BATCH);
      } catch {
        // The broker is down for now.
        publisher?.close();
        publisher = null;
      }
      await pause(BATCH_PAUSE);
    }
    publisher?.close();
  }

  async #publish(publisher: RawPublisher, sender: Sender, qos: 1 | 2, count: number): Promise<void> {
    const sending = sender.begin(count).map(async (payload) => {
      await publisher.publish(sender.name, payload, qos);
      sender.acknowledge([payload]);
    });
    const results = await Promise.allSettled(sending);
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  async #callAll(qos: 1 | 2, sender: Sender): Promise<void> {
    while (!this.#stopping) if (!(await this.#call(sender, qos))) await pause(20);
  }

  /** Publishes one message by HTTP. Answers whether it was acknowledged. */
  async #call(sender: Sender, qos: 1 | 2): Promise<boolean> {
    const [payload = ''] = sender.begin(1);
    const json = { topic: sender.name, payload, qos, timeout: 3 };
    try {
      const {
        status,
        json: answer,
        text,
      } = await this.#bridge.request<{ type?: string }>('POST', `${TRAFFIC_PATH}/publish`, { json });
      const problem = answer?.type?.replace('/problems/', '') ?? '';
      if (status === 200) sender.acknowledge([payload]);
      else if (NOT_SENT.has(problem)) sender.refuse(payload);
      else if (problem !== 'outcome-unknown') this.strange.push(`${status} ${text}`);
      return status === 200;
    } catch {
      // The process was killed, before or after it had published.
      return false;
    }
  }

  /** Reads until the payloads are there, and then to the end. */
  async #queueUntil(payloads: string[], within: number): Promise<string[]> {
    const read: string[] = [];
    let after = '';
    await until(
      async () => {
        const query = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
        const page = await this.#bridge.request<Page>('GET', `${TRAFFIC_PATH}/messages?limit=1000${query}`);
        if (page.status !== 200) return false;
        read.push(...page.json.messages.map(({ payload }) => payload));
        after = page.json.next ?? after;
        return page.json.messages.length === 0 && includesAll(read, payloads);
      },
      { what: 'the queue holds the last message of each topic', within },
    );
    return read;
  }

  async #deliveredUntil(payloads: string[], within: number): Promise<string[]> {
    const delivered = () => this.#judging.received.map(({ payload }) => payload);
    await until(() => includesAll(delivered(), payloads), {
      what: 'the subscriber has the last message of each caller',
      within,
    });
    return delivered();
  }
}

const last = (sender: Sender) => sender.sent.at(-1) ?? '';

function includesAll(all: readonly string[], wanted: readonly string[]): boolean {
  const set = new Set(all);
  return wanted.every((payload) => set.has(payload));
}

function report(sender: Sender, qos: 1 | 2, all: readonly string[]): FlowReport {
  const received = all.filter((payload) => payload.startsWith(`${sender.name} `));
  const flow: Flow = { ...sender, received, qos };
  return {
    name: sender.name,
    sent: sender.sent.length,
    acknowledged: sender.acknowledged.size,
    refused: sender.refused.size,
    received: received.length,
    verdict: judge(flow),
  };
}
