import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../../mqtt/message.ts';
import type { PublicationItem } from '../ports.ts';

/** What callers may have waiting on one Connection before they are told that it is too much. */
const LIMITS = { messages: 10_000, bytes: 64 * 1024 * 1024 };

/** A publish whose outcome is kept in the store. */
export interface KeptPublish {
  readonly item: PublicationItem;
  /** When the outbox took it, in milliseconds since the epoch; null for one whose caller waits. */
  readonly queuedAt: number | null;
}

/** A publish that a caller waits for. It is answered once; later answers are ignored. */
export class WaitingPublish {
  readonly message: OutgoingMessage;
  readonly bytes: number;
  /** Null for one that is forgotten once it has its answer. */
  readonly kept: KeptPublish | null;
  /** The queue that is to forget it once it has its answer, if it waits in one. */
  queue: PublishQueue | null = null;
  readonly #resolve: (outcome: PublishOutcome) => void;
  readonly #reject: (problem: Problem) => void;
  readonly #deadline: NodeJS.Timeout;
  #answered = false;

  constructor(
    message: OutgoingMessage,
    answer: { resolve: (outcome: PublishOutcome) => void; reject: (problem: Problem) => void },
    deadline: { timeoutMs: number; onExpiry: (waiting: WaitingPublish) => void },
    kept: KeptPublish | null = null,
  ) {
    this.message = message;
    this.kept = kept;
    this.bytes = message.payload.length + message.topic.length;
    this.#resolve = answer.resolve;
    this.#reject = answer.reject;
    this.#deadline = setTimeout(() => deadline.onExpiry(this), deadline.timeoutMs);
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** Whether a caller waits for it, and not the outbox. */
  get isAwaited(): boolean {
    return !this.#answered && (this.kept === null || this.kept.queuedAt === null);
  }

  /**
   * Whether the store, not its caller, says if it is still to be sent once another owner may have been there: that one
   * may have sent it from the outbox, or for a repeat of the request.
   */
  get isTheStores(): boolean {
    return this.kept !== null && (this.kept.queuedAt !== null || this.message.qos === 2);
  }

  /** The message as it is to be sent now: waiting in the outbox uses up its Message Expiry Interval. */
  current(): OutgoingMessage {
    const { message, kept } = this;
    const interval = message.properties?.messageExpiryInterval;
    if (interval === undefined || kept === null || kept.queuedAt === null) return message;
    const waited = Math.floor((Date.now() - kept.queuedAt) / 1000);
    return { ...message, properties: { ...message.properties, messageExpiryInterval: Math.max(1, interval - waited) } };
  }

  resolve(outcome: PublishOutcome): void {
    if (this.#close()) this.#resolve(outcome);
  }

  reject(problem: Problem): void {
    if (this.#close()) this.#reject(problem);
  }

  #close(): boolean {
    if (this.#answered) return false;
    this.#answered = true;
    clearTimeout(this.#deadline);
    this.queue?.remove(this);
    return true;
  }
}

/** Publishes that were not sent yet, in order and bounded. One that has its answer, by its deadline or otherwise, leaves. */
export class PublishQueue {
  readonly #waiting = new Set<WaitingPublish>();
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Whether callers wait. */
  get isAwaited(): boolean {
    return [...this.#waiting].some(({ isAwaited }) => isAwaited);
  }

  /** Throws `overloaded` when there is no room for another. */
  requireRoom(bytes: number): void {
    if (this.#waiting.size < LIMITS.messages && this.#bytes + bytes <= LIMITS.bytes) return;
    throw new Problem('overloaded', { detail: 'Too many publishes wait for this Connection', retryAfter: 1 });
  }

  /** Puts it at the end; one that has its answer already is nobody's concern any more. */
  add(waiting: WaitingPublish): void {
    if (waiting.answered) return;
    waiting.queue = this;
    this.#waiting.add(waiting);
    this.#bytes += waiting.bytes;
  }

  /** Puts back what was taken from the front, before what has come since. */
  putBack(waiting: readonly WaitingPublish[]): void {
    if (waiting.length === 0) return;
    for (const each of [...waiting, ...this.takeAll()]) this.add(each);
  }

  remove(waiting: WaitingPublish): void {
    waiting.queue = null;
    if (this.#waiting.delete(waiting)) this.#bytes -= waiting.bytes;
  }

  /** Takes from the front while `accept` does. */
  takeWhile(accept: (waiting: WaitingPublish) => boolean): void {
    for (const waiting of this.#waiting) {
      if (!accept(waiting)) return;
      this.remove(waiting);
    }
  }

  takeAll(): WaitingPublish[] {
    const all = [...this.#waiting];
    for (const waiting of all) this.remove(waiting);
    return all;
  }
}
