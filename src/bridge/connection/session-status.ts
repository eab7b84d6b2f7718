import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import type { Connack, ConnectionState, StateReason } from '../../schemas/connection-view.ts';
import type { Granted, SubscriptionRequest } from '../../schemas/subscription.ts';
import type { SessionRecord } from '../ports.ts';

/** A subscription that the broker has answered in this generation. */
export interface GrantedSubscription {
  request: SubscriptionRequest;
  granted: Granted;
}

/** What the owner keeps of a Connection's session, beside its generation. */
export interface SessionStatus {
  state: ConnectionState;
  /** Milliseconds since the epoch. */
  since: number;
  reason: StateReason | null;
  connack: Connack | null;
  /** The protocol version that the session is spoken in; null before the first CONNACK. */
  protocolVersion: ProtocolVersion | null;
  /**
   * Seconds that the broker keeps the session after the network connection: what both ends said last, at DISCONNECT too.
   * 3.x: zero or for ever. Null before the first CONNACK.
   */
  sessionExpiry: number | null;
  /** Whether the Connection is to be attached: false after `detach`. */
  wanted: boolean;
  granted: GrantedSubscription[];
  /** How often the session was drained: until the broker had fallen silent. */
  drains: number;
}

export function initialStatus(now: number): SessionStatus {
  return {
    state: 'connecting',
    since: now,
    reason: null,
    connack: null,
    protocolVersion: null,
    sessionExpiry: null,
    wanted: true,
    granted: [],
    drains: 0,
  };
}

/** Reads what was stored; members that this release does not know are kept and written back. */
export function readStatus(record: SessionRecord | null, now: number): SessionStatus {
  return { ...initialStatus(now), ...(record?.status as Partial<SessionStatus> | undefined) };
}
