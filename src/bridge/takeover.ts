import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { SESSION_TAKEN_OVER } from '../mqtt/reason-codes.ts';
import type { LinkEnd } from './link-end.ts';

const SOON_MS = 5_000;
const WINDOW_MS = 60_000;
/** Closes that make the pattern; a v5 broker ought to say 0x8E, but some (Mosquitto 2.0.11) just close. */
const CLOSES: Readonly<Record<ProtocolVersion, number>> = { '5.0': 5, '3.1.1': 3, '3.1': 3 };

/**
 * Tells when another client has taken the ClientID over. MQTT 5.0 says so (0x8E); otherwise there is only a pattern:
 * three closes by the peer (five on v5) within 5 s of CONNACK, inside 60 s.
 */
export class TakeoverDetector {
  #suspicious: number[] = [];

  /** Whether this end of a connection is, or completes, a take-over; `connectedAt` is that of CONNACK, in milliseconds. */
  isTakeover(end: LinkEnd, at: { connectedAt: number; now: number; version: ProtocolVersion }): boolean {
    const { connectedAt, now, version } = at;
    if (end.kind === 'disconnected') return end.reasonCode === SESSION_TAKEN_OVER;
    if (end.kind !== 'closed' || now - connectedAt > SOON_MS) return false;
    this.#suspicious = [...this.#suspicious.filter((close) => now - close < WINDOW_MS), now];
    if (this.#suspicious.length < CLOSES[version]) return false;
    this.#suspicious = [];
    return true;
  }
}
