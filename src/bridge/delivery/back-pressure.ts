import type { FlowControl } from '../link/packet-splitter.ts';

/** What may wait to be stored before the bridge stops reading, so that a burst is not dropped. */
const HIGH_WATER = { messages: 4_096, bytes: 16 * 1024 * 1024 };
/** How long that may last: behind what is not read are PINGRESP and the acknowledgements of the caller's publishes. */
const PATIENCE_MS = 1_000;
/** What may wait in all: above, nothing is read any more. A broker that keeps to the Receive Maximum stays below. */
const LIMIT = { messages: 65_536, bytes: 64 * 1024 * 1024 };

/**
 * Bounds the memory of one inbound flow. Above the high-water mark reading pauses for a while; a store that is still
 * behind then is slow, and from there on QoS 0 is dropped, counted, and the rest is read until the limit.
 */
export class BackPressure {
  #flow: FlowControl | null = null;
  #messages = 0;
  #bytes = 0;
  #paused = false;
  #impatient = false;
  #dropped = 0;
  #patience: NodeJS.Timeout | undefined;

  /** Whether a QoS 0 message is taken; `drop` counts one that is not. */
  admitsQoS0(): boolean {
    return !(this.#impatient && isAbove(HIGH_WATER, this.#messages, this.#bytes));
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

  /** Counts a message that was dropped. */
  drop(): void {
    this.#dropped += 1;
  }

  /** How many were dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** Pauses or resumes reading, as far as it is known what to pause. */
  apply(flow: FlowControl | null = this.#flow): void {
    this.#flow = flow;
    const full = isAbove(this.#impatient ? LIMIT : HIGH_WATER, this.#messages, this.#bytes);
    if (full) this.#pause();
    else if (!isAbove(HIGH_WATER, this.#messages * 2, this.#bytes * 2)) this.#relax();
    else if (this.#impatient) this.#resume();
  }

  stop(): void {
    clearTimeout(this.#patience);
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#flow?.pauseReading();
    if (this.#impatient) return;
    this.#patience = setTimeout(() => {
      this.#impatient = true;
      this.apply();
    }, PATIENCE_MS);
  }

  #relax(): void {
    clearTimeout(this.#patience);
    this.#impatient = false;
    this.#resume();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flow?.resumeReading();
  }
}

function isAbove(mark: { messages: number; bytes: number }, messages: number, bytes: number): boolean {
  return messages > mark.messages || bytes > mark.bytes;
}
