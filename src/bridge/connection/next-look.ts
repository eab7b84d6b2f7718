import { SESSION_NEVER_EXPIRES } from '../../mqtt/limits.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { SessionStatus } from './session-status.ts';

/** A session is renewed when half of its time at the broker is over: one renewal may fail. */
const RENEWED_AT = 0.5;

/** How soon somebody looks whether what a function had to leave detached can be attached for good, in milliseconds. */
const LEFT_MS = 5_000;

/**
 * When somebody has to look at a Connection that nobody owns, in milliseconds; null: not before it is asked for. One
 * that is to be attached at once; a parked one when its session is to be drained, and so renewed, or soon, where it is
 * held always and has none that outlives the network connection: a function used it.
 */
export function nextLookMs(
  { wanted, state, sessionExpiry, granted }: SessionStatus,
  { drainInterval, hold }: Pick<ConnectionParameters, 'drainInterval' | 'hold'>,
): number | null {
  if (!wanted || state === 'refused' || state === 'takenOver') return null;
  if (state !== 'parked') return 0;
  if (sessionExpiry === null || sessionExpiry === 0) return hold === 'always' ? LEFT_MS : null;
  const toDrain = granted.length > 0 ? drainInterval * 1000 : Number.POSITIVE_INFINITY;
  const toRenew =
    sessionExpiry === SESSION_NEVER_EXPIRES ? Number.POSITIVE_INFINITY : sessionExpiry * 1000 * RENEWED_AT;
  const next = Math.min(toDrain, toRenew);
  return Number.isFinite(next) ? next : null;
}
