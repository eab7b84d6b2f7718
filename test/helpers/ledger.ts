/** What became of the messages of one flow, as its two ends saw it: the one that sent, and the one that received. */
export interface Flow {
  /** All that was sent, in the order in which that was begun; each payload once. */
  readonly sent: readonly string[];
  /** Of those, what the sender was told is done: it must arrive. */
  readonly acknowledged: ReadonlySet<string>;
  /** Of those, what the sender was told is not sent: it must not arrive. */
  readonly refused?: ReadonlySet<string>;
  /** What arrived, in the order in which it did. */
  readonly received: readonly string[];
  /** At QoS 1 a message may arrive again. */
  readonly qos: 1 | 2;
}

/** What is wrong with a flow: nothing, when all of it is empty. */
export interface Verdict {
  /** Acknowledged, and never received. */
  readonly missing: readonly string[];
  /** Received again at QoS 2. */
  readonly repeated: readonly string[];
  /** Received for the first time behind what was sent after it. */
  readonly disordered: readonly string[];
  /** Received, though it was never sent or said not to be. */
  readonly unexpected: readonly string[];
}

export const FAULTLESS: Verdict = { missing: [], repeated: [], disordered: [], unexpected: [] };

/** Compares the two ends of a flow. Messages that the sender was told nothing about may have arrived or not. */
export function judge({ sent, acknowledged, refused = new Set(), received, qos }: Flow): Verdict {
  const order = new Map(sent.map((payload, index) => [payload, index]));
  const seen = new Set<string>();
  const repeated: string[] = [];
  const disordered: string[] = [];
  const unexpected: string[] = [];
  let furthest = -1;
  for (const payload of received) {
    const place = order.get(payload);
    if (place === undefined || refused.has(payload)) unexpected.push(payload);
    else if (seen.has(payload)) {
      if (qos === 2) repeated.push(payload);
    } else if (place < furthest) disordered.push(payload);
    else furthest = place;
    seen.add(payload);
  }
  return { missing: [...acknowledged].filter((payload) => !seen.has(payload)), repeated, disordered, unexpected };
}

/** One end's notes: what a sender of a flow began, and what it was told about each. */
export class Sender {
  readonly sent: string[] = [];
  readonly acknowledged = new Set<string>();
  /** When each was, in milliseconds on the clock of `performance.now()`. */
  readonly acknowledgedAt = new Map<string, number>();
  readonly refused = new Set<string>();
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** Names so many new messages, and notes that they are being sent. */
  begin(count: number): string[] {
    const payloads = Array.from({ length: count }, (_, index) => `${this.name} ${this.sent.length + index}`);
    this.sent.push(...payloads);
    return payloads;
  }

  acknowledge(payloads: readonly string[]): void {
    for (const payload of payloads) {
      this.acknowledged.add(payload);
      this.acknowledgedAt.set(payload, performance.now());
    }
  }

  refuse(payload: string): void {
    this.refused.add(payload);
  }
}
