import { Problem } from '../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';

/** What callers may have waiting on one Connection before they are told that it is too much. */
const LIMITS = { messages: 10_000, bytes: 64 * 1024 * 1024 };

/** A publish that a caller waits for. It is answered once; later answers are ignored. */
export class WaitingPublish {
  readonly message: OutgoingMessage;
  readonly bytes: number;
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
    return true;
  }
}

/** Publishes that were not sent yet, in order and bounded. */
export class PublishQueue {
  #waiting: WaitingPublish[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Throws `overloaded` when there is no room for another. */
  requireRoom(bytes: number): void {
    if (this.#waiting.length < LIMITS.messages && this.#bytes + bytes <= LIMITS.bytes) return;
    throw new Problem('overloaded', { detail: 'Too many publishes wait for this Connection', retryAfter: 1 });
  }

  add(waiting: WaitingPublish): void {
    this.#waiting.push(waiting);
    this.#bytes += waiting.bytes;
  }

  /** Takes from the front while `accept` does; those that have their answer already are dropped on the way. */
  takeWhile(accept: (waiting: WaitingPublish) => boolean): void {
    let taken = 0;
    for (const waiting of this.#waiting) {
      if (!waiting.answered && !accept(waiting)) break;
      taken += 1;
    }
    for (const { bytes } of this.#waiting.splice(0, taken)) this.#bytes -= bytes;
  }

  takeAll(): WaitingPublish[] {
    const all = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return all;
  }
}
