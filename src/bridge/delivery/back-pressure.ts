import type { FlowControl } from '../link/packet-splitter.ts';

/** What waits to be stored: messages, and bytes of their packets. */
interface Amount {
  readonly messages: number;
  readonly bytes: number;
}

const MIB = 1024 * 1024;
/** Above it reading pauses, so that TCP slows the broker down, until half of it is left. */
const HIGH_WATER: Amount = { messages: 4_096, bytes: 16 * MIB };
/** Below it the store has caught up. */
const LOW_WATER: Amount = { messages: 512, bytes: 2 * MIB };
/** How long that may go on until reading pauses no more: behind it are PINGRESP and the acknowledgements of publishes. */
const PATIENCE_MS = 1_000;
/** Above it QoS 0 is dropped. A burst is not: it must not be lost while a store that is well works through it. */
const QOS_0_LIMIT: Amount = { messages: 32_768, bytes: 32 * MIB };
/** Above it nothing is read. A broker that keeps to a Receive Maximum does not get there, but with large messages. */
const LIMIT: Amount = { messages: 65_536, bytes: 64 * MIB };

/** Bounds the memory of one inbound flow. A store that has not caught up in time is slow, until it has. */
export class BackPressure {
  #flow: FlowControl | null = null;
  #messages = 0;
  #bytes = 0;
  #paused = false;
  #isSlow = false;
  #stopped = false;
  #dropped = 0;
  #patience: NodeJS.Timeout | undefined;

  /** Whether a QoS 0 message is taken; `drop` counts one that is not. */
  admitsQoS0(): boolean {
    return !this.#isAbove(QOS_0_LIMIT);
  }

  add(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
  }

  remove(messages: number, bytes: number): void {
    this.#messages -= messages;
    this.#bytes -= bytes;
    this.apply();
  }

  drop(messages = 1): void {
    this.#dropped += messages;
  }

  /** How many were dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** Pauses or resumes reading, as far as it is known what to pause. */
  apply(flow: FlowControl | null = this.#flow): void {
    if (this.#stopped) return;
    this.#flow = flow;
    if (!this.#isAbove(LOW_WATER)) this.#catchUp();
    if (this.#isAbove(this.#isSlow ? LIMIT : HIGH_WATER)) this.#pause();
    else if (this.#isSlow || !this.#isAbove(HIGH_WATER, 0.5)) this.#resume();
  }

  /** Nothing is stored any more. What still comes is read, so that the end of the network connection is seen. */
  stop(): void {
    this.#stopped = true;
    this.#catchUp();
    this.#resume();
  }

  #catchUp(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#isSlow = false;
  }

  #pause(): void {
    if (!this.#isSlow) this.#patience ??= setTimeout(() => this.#loseHope(), PATIENCE_MS);
    if (this.#paused) return;
    this.#paused = true;
    this.#flow?.pauseReading();
  }

  #loseHope(): void {
    this.#isSlow = true;
    this.apply();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flow?.resumeReading();
  }

  #isAbove({ messages, bytes }: Amount, share = 1): boolean {
    return this.#messages > messages * share || this.#bytes > bytes * share;
  }
}
