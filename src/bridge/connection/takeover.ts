import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { SESSION_TAKEN_OVER } from '../../mqtt/reason-codes.ts';
import type { LinkEnd } from '../link/link-end.ts';

const SOON_MS = 5_000;
const WINDOW_MS = 60_000;
/** Closes that make the pattern; a v5 broker ought to say 0x8E, but some (Mosquitto 2.0.11) just close. */
const CLOSES: Readonly<Record<ProtocolVersion, number>> = { '5.0': 5, '3.1.1': 3, '3.1': 3 };

const MAX_RECLAIMS = 3;
/** The first reclaim waits 1 to 2 s, each further one twice as long. */
const RECLAIM_BASE_MS = 2_000;
/** Well above the pauses between the attempts of usual clients: an outsider that only pauses has not gone away. */
const PEACE_MS = 600_000;

/**
 * Tells when another client has taken the ClientID over, and whether it may be taken back. MQTT 5.0 says so (0x8E);
 * otherwise there is only a pattern: three closes by the peer (five on v5) within 5 s of CONNACK, inside 60 s.
 */
export class Takeovers {
  #suspicious: number[] = [];
  #reclaims = 0;

  /** Whether this end of a connection is, or completes, a take-over; `connectedAt` is that of CONNACK, in milliseconds. */
  isTakeover(end: LinkEnd, at: { connectedAt: number; now: number; version: ProtocolVersion }): boolean {
    const { connectedAt, now, version } = at;
    const lived = now - connectedAt;
    if (lived >= PEACE_MS) this.#reclaims = 0;
    if (end.kind === 'disconnected') return end.reasonCode === SESSION_TAKEN_OVER;
    if (end.kind !== 'closed') return false;
    // Who was there a moment ago needs no pattern any more.
    if (this.#reclaims > 0) return lived < WINDOW_MS;
    if (lived > SOON_MS) return false;
    this.#suspicious = [...this.#suspicious.filter((close) => now - close < WINDOW_MS), now];
    if (this.#suspicious.length < CLOSES[version]) return false;
    this.#suspicious = [];
    return true;
  }

  /**
   * How long to leave the ClientID to the other client before it is taken back, in milliseconds: longer each time, with
   * jitter. Null when it was tried often enough; that is forgotten once a connection has lived for ten minutes.
   */
  nextReclaimMs(random: () => number = Math.random): number | null {
    if (this.#reclaims >= MAX_RECLAIMS) return null;
    const bound = RECLAIM_BASE_MS * 2 ** this.#reclaims;
    this.#reclaims += 1;
    return Math.floor(bound / 2 + (random() * bound) / 2);
  }

  /** Somebody asked to attach: what was before does not count. */
  forget(): void {
    this.#suspicious = [];
    this.#reclaims = 0;
  }
}
