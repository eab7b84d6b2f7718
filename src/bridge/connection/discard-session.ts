import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { BrokerProfile } from '../dependencies.ts';
import type { Dialer } from '../link/dial.ts';
import { isWorthRetrying } from '../link/link-problems.ts';
import { connectBriefly } from './brief-connection.ts';

/**
 * What became of a session that was to be discarded. `unreachable`: another attempt may do it. `refused`: none will, and
 * the broker keeps the session until it expires there.
 */
export type Discarded = 'discarded' | 'unreachable' | 'refused';

/** Makes the broker forget a session that nobody is attached to, by a clean connection that leaves nothing behind. */
export async function discardSession(
  parameters: ConnectionParameters,
  profile: BrokerProfile | undefined,
  dialer: Dialer,
  signal: AbortSignal,
): Promise<Discarded> {
  try {
    await connectBriefly(parameters, profile, dialer, signal);
    return 'discarded';
  } catch (error) {
    return isWorthRetrying(error, parameters.protocolVersion) ? 'unreachable' : 'refused';
  }
}
