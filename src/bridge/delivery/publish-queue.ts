import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../../mqtt/message.ts';

/** What callers may have waiting on one Connection before they are told that it is too much. */
const LIMITS = { messages: 10_000, bytes: 64 * 1024 * 1024 };

/** A publish that a caller waits for. It is answered once; later answers are ignored. */
export class WaitingPublish {
  readonly message: OutgoingMessage;
  readonly bytes: number;
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
  ) {
    this.message = message;
    this.bytes = message.payload.length + message.topic.length;
    this.#resolve = answer.resolve;
    this.#reject = answer.reject;
    this.#deadline = setTimeout(() => deadline.onExpiry(this), deadline.timeoutMs);
  }

  get answered(): boolean {
    return this.#answered;
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
