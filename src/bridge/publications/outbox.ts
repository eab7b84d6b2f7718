import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome, QoS } from '../../mqtt/message.ts';
import { encodeOutcome, isFinal } from '../delivery/outcomes.ts';
import type { KeptPublish } from '../delivery/publish-queue.ts';
import { problemOf } from '../link/link-problems.ts';
import type { Fence, Key, OutboxEntry, PublicationItem, Publications } from '../ports.ts';
import { PENDING_MS } from './limits.ts';

/** Messages that are handed over and not settled yet: as many as keep a connection busy, few enough to hold in memory. */
const WINDOW = 256;
const WINDOW_BYTES = 16 * 1024 * 1024;

export interface OutboxOptions {
  key: Key;
  publications: Pick<Publications, 'outbox' | 'settle'>;
  /** Null without the lease. */
  fence: () => Fence | null;
  publish: (message: OutgoingMessage, timeoutMs: number, kept: KeptPublish) => Promise<PublishOutcome>;
  /** The store failed or refused: nothing more is sent until `open`. */
  onFailure: (error: unknown) => void;
}

interface Settled {
  readonly item: PublicationItem;
  readonly outcome: string;
  readonly bytes: number;
}

/**
 * Sends what waits in the outbox of a Connection, in its order, and records what becomes of it. Where a message comes
 * back unsent, the rest is waited for, and all begins anew from what the store then says.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #isOpen = false;
  #hasEnded = false;
  /** The position of the last entry that was handed over. */
  #after = 0;
  #mayHaveMore = false;
  /** One came back unsent: those behind it must not overtake it. */
  #isInterrupted = false;
  #outstanding = 0;
  #bytes = 0;
  #settled: Settled[] = [];
  #running: Promise<void> | null = null;
  #isAsked = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Whether nothing is known to be sent or recorded. */
  get isIdle(): boolean {
    return this.#running === null && this.#outstanding === 0 && !this.#mayHaveMore;
  }

  /** The Connection is online. */
  open(): void {
    if (this.#hasEnded) return;
    this.#isOpen = true;
    this.wake();
  }

  /** Something may have been queued. */
  wake(): void {
    this.#mayHaveMore = true;
    this.#run();
  }

  /** Hands nothing more over; what is under way goes on. */
  close(): void {
    this.#isOpen = false;
  }

  /** As `close`, for good. Nothing that is not known by now is recorded as unknown: another process will send it. */
  end(): void {
    this.#hasEnded = true;
    this.close();
  }

  /** Resolves when all answers that came are recorded, as far as that is possible. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  #run(): void {
    this.#isAsked = true;
    this.#running ??= this.#steps().finally(() => {
      this.#running = null;
    });
  }

  async #steps(): Promise<void> {
    try {
      while (this.#isAsked) {
        this.#isAsked = false;
        while (await this.#step());
      }
    } catch (error) {
      this.#isAsked = false;
      this.#isInterrupted = true;
      this.close();
      this.#options.onFailure(error);
    }
  }

  /** False when there is nothing to do until something happens. */
  async #step(): Promise<boolean> {
    if (this.#settled.length > 0) return this.#record();
    if (!this.#isOpen) return false;
    if (this.#isInterrupted) {
      if (this.#outstanding > 0) return false;
      this.#isInterrupted = false;
      this.#mayHaveMore = true;
      this.#after = 0;
    }
    if (!this.#mayHaveMore || this.#outstanding >= WINDOW || this.#bytes >= WINDOW_BYTES) return false;
    return this.#handOver();
  }

  async #record(): Promise<boolean> {
    const { fence, publications } = this.#options;
    const group = this.#settled.slice(0, WINDOW);
    const lease = fence();
    // Without the lease they are another owner's, who sends them once more.
    if (lease === null) this.#isInterrupted = true;
    else await publications.settle(lease, group);
    this.#settled.splice(0, group.length);
    for (const { bytes } of group) this.#leave(bytes);
    return true;
  }

  async #handOver(): Promise<boolean> {
    const { publications, key } = this.#options;
    this.#mayHaveMore = false;
    const page = await publications.outbox(key, this.#after, WINDOW - this.#outstanding);
    if (!this.#isOpen || this.#isInterrupted) return true;
    for (const entry of page) this.#publish(entry);
    const last = page.at(-1);
    if (last === undefined) {
      // Positions may begin anew where nothing is left.
      if (this.#outstanding === 0) this.#after = 0;
      return false;
    }
    this.#after = last.position;
    this.#mayHaveMore = true;
    return true;
  }

  #publish({ item, message, ageMs }: OutboxEntry): void {
    const { payload, topic, properties } = message;
    const bytes = payload.length + topic.length;
    this.#outstanding += 1;
    this.#bytes += bytes;
    const expiresAfter = (properties?.messageExpiryInterval ?? Number.POSITIVE_INFINITY) * 1000;
    const left = Math.min(PENDING_MS, expiresAfter) - ageMs;
    const onAnswer = (answer: PublishOutcome | Problem) => this.#onAnswer(item, message.qos, answer, bytes);
    if (left <= 0) {
      onAnswer(new Problem('no-answer'));
      return;
    }
    const kept = { item, queuedAt: Date.now() - ageMs };
    this.#options.publish(message, left, kept).then(onAnswer, (error) => onAnswer(problemOf(error)));
  }

  #onAnswer(item: PublicationItem, qos: QoS, answer: PublishOutcome | Problem, bytes: number): void {
    const outcome = this.#outcomeOf(answer);
    if (qos === 2 && !(answer instanceof Problem)) {
      // Recorded with the end of its exchange.
      this.#leave(bytes);
    } else if (outcome === null) {
      this.#isInterrupted = true;
      this.#leave(bytes);
    } else {
      this.#settled.push({ item, outcome: encodeOutcome(outcome), bytes });
    }
    this.#run();
  }

  /** What is to be recorded; null when it is still to be sent. */
  #outcomeOf(answer: PublishOutcome | Problem): PublishOutcome | Problem | null {
    if (!(answer instanceof Problem)) return answer;
    if (answer.type === 'no-answer' || answer.type === 'broker-unreachable') return notSentInTime();
    return isFinal(answer) && !this.#hasEnded ? answer : null;
  }

  #leave(bytes: number): void {
    this.#outstanding -= 1;
    this.#bytes -= bytes;
  }
}

function notSentInTime(): Problem {
  const detail = 'Not sent: it waited for 24 hours, or its Message Expiry Interval passed before it could be sent';
  return new Problem('no-answer', { detail });
}
