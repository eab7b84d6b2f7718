import { setTimeout as pause } from 'node:timers/promises';
import type { Requester } from './balancer.ts';
import { type RawSubscriber, startSubscriber } from './kill-subscriber.ts';
import { type Flow, judge, Sender, type Verdict } from './ledger.ts';
import type { Mosquitto } from './mosquitto.ts';
import { type Calls, callOnce, callWithKey } from './traffic-callers.ts';
import { type Consumer, readToTheEnd, startConsumer } from './traffic-consumer.ts';
import { type Publishes, publishLast, publishUntil } from './traffic-publishers.ts';
import { until } from './until.ts';

export const TRAFFIC_PATH = '/v1/connections/keeper';
const CALLERS_PER_QOS = 2;

/** Lines of mosquitto.conf that let it keep all, and send it in its order: see the limits in docs/delivery.md. */
export const PATIENT_BROKER = ['max_queued_messages 0', 'max_inflight_messages 0'];

export interface TrafficOptions {
  /** Of the Connection; `keeper` when not said. The ClientID of the judge is this with `-judge`. */
  readonly id?: string;
  /** Milliseconds between two requests of a caller. */
  readonly rest?: number;
  /** Has a caller for each QoS beside the others that repeats each request until it knows its outcome. */
  readonly withKeys?: boolean;
  /** Reads the queue and removes what was read all the time, and not only at the end. */
  readonly consumes?: boolean;
  /** Members of the Connection beside those that the traffic needs. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

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
  /** When the sender of a message was told that it is done, in milliseconds on the clock of `performance.now()`. */
  acknowledgedAt(payload: string): number | undefined;
  /** Waits until so many more are acknowledged in each direction. */
  flows(count: number, within?: number): Promise<void>;
  /** No new messages from here on; waits for the answers to those under way. */
  pause(): Promise<void>;
  /** Ends it, waits until all has arrived that was promised to, and compares what its ends saw. */
  finish(within?: number): Promise<FlowReport[]>;
  stop(): Promise<void>;
}

const LEVELS = [1, 2] as const;

/** Declares the Connection and begins. All that is published goes once: nobody but the bridge and the broker repeats. */
export async function startTraffic(
  broker: Mosquitto,
  requester: Requester,
  options: TrafficOptions = {},
): Promise<Traffic> {
  const { id = 'keeper', parameters = {} } = options;
  const declared = await requester.request<{ state: string }>('PUT', `/v1/connections/${id}`, {
    json: {
      cleanStart: false,
      sessionExpiryInterval: 3_600,
      subscriptions: LEVELS.map((qos) => ({ filter: `${id}/in/${qos}`, qos })),
      queue: { maxMessages: 1_000_000 },
      ...parameters,
    },
  });
  if (declared.json.state !== 'online') throw new Error(`the Connection is not online: ${declared.text}`);
  const judging = await startSubscriber(broker.port, `${id}-judge`, `${id}/out/#`);
  return new ConnectionTraffic(broker, requester, judging, options);
}

class ConnectionTraffic implements Traffic {
  readonly strange: string[] = [];
  readonly #id: string;
  readonly #path: string;
  readonly #requester: Requester;
  readonly #judging: RawSubscriber;
  readonly #consumer: Consumer | null;
  readonly #inbound: readonly Publishes[];
  readonly #outbound: readonly Outbound[];
  readonly #loops: Promise<void>[];
  #stopping = false;

  constructor(
    broker: Mosquitto,
    requester: Requester,
    judging: RawSubscriber,
    { id = 'keeper', rest = 0, withKeys = false, consumes = false }: TrafficOptions,
  ) {
    this.#id = id;
    this.#path = `/v1/connections/${id}`;
    this.#requester = requester;
    this.#judging = judging;
    this.#consumer = consumes ? startConsumer(requester, this.#path) : null;
    this.#inbound = LEVELS.map((qos) => {
      const sender = new Sender(`in/${qos}`);
      return { port: broker.port, topic: `${id}/${sender.name}`, qos, sender };
    });
    this.#outbound = LEVELS.flatMap((qos) => [
      ...Array.from({ length: CALLERS_PER_QOS }, (_, caller) => this.#calls(qos, `out/${qos}/${caller}`, callOnce)),
      ...(withKeys ? [this.#calls(qos, `out/${qos}/key`, callWithKey)] : []),
    ]);
    this.#loops = [
      ...this.#inbound.map((publishes) => publishUntil(() => this.#stopping, publishes)),
      ...this.#outbound.map((outbound) => this.#callAll(outbound, rest)),
    ];
  }

  get acknowledged() {
    const count = (flows: readonly { sender: Sender }[]) =>
      flows.reduce((sum, { sender }) => sum + sender.acknowledged.size, 0);
    return { inbound: count(this.#inbound), outbound: count(this.#outbound) };
  }

  acknowledgedAt(payload: string): number | undefined {
    const senders = [...this.#inbound, ...this.#outbound].map(({ sender }) => sender);
    return senders.find(({ acknowledged }) => acknowledged.has(payload))?.acknowledgedAt.get(payload);
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
    for (const publishes of this.#inbound) await publishLast(publishes);
    for (const { sender, call } of this.#outbound) {
      await until(call, { what: `a last answer to ${sender.name}`, within });
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
    await this.#consumer?.stop();
  }

  #calls(qos: 1 | 2, name: string, how: (calls: Calls) => Promise<boolean>): Outbound {
    const sender = new Sender(name);
    const place = { requester: this.#requester, path: this.#path, topic: `${this.#id}/${name}` };
    return { qos, sender, call: () => how({ ...place, qos, sender, strange: this.strange }) };
  }

  async #callAll({ call }: Outbound, rest: number): Promise<void> {
    while (!this.#stopping) {
      const isDone = await call();
      if (!isDone || rest > 0) await pause(isDone ? rest : 20);
    }
  }

  /** Reads until the payloads are there, and then to the end. */
  async #queueUntil(payloads: string[], within: number): Promise<readonly string[]> {
    const read: string[] = [];
    let after = '';
    const everything = async () => {
      if (this.#consumer !== null) return includesAll(this.#consumer.received, payloads);
      const page = await readToTheEnd(this.#requester, this.#path, after);
      read.push(...page.messages.map(({ payload }) => payload));
      after = page.after;
      return page.messages.length === 0 && includesAll(read, payloads);
    };
    await until(everything, { what: 'the queue holds the last message of each topic', within });
    return this.#consumer?.received ?? read;
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

interface Outbound {
  readonly qos: 1 | 2;
  readonly sender: Sender;
  /** Publishes one message; answers whether it was acknowledged. */
  readonly call: () => Promise<boolean>;
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
