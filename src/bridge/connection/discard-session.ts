import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { BrokerProfile } from '../dependencies.ts';
import { connectOptions } from '../link/connect-options.ts';
import { type Dialer, NO_HANDLERS } from '../link/dial.ts';
import { PacketIdentifiers } from '../link/packet-identifiers.ts';

/**
 * Makes the broker forget a session that nobody is attached to, by a clean connection that leaves nothing behind: no
 * Will, no expiry. False when the broker could not be reached or refused.
 */
export async function discardSession(
  parameters: ConnectionParameters,
  profile: BrokerProfile | undefined,
  dialer: Dialer,
): Promise<boolean> {
  const { will: _will, ...clean } = parameters;
  if (clean.protocolVersion === '5.0') clean.sessionExpiryInterval = 0;
  else clean.cleanSession = true;
  try {
    const link = await dialer.connect(
      connectOptions(clean, profile, { clean: true, maxPayload: 0 }),
      new PacketIdentifiers(),
      NO_HANDLERS,
    );
    await link.disconnect();
    return true;
  } catch {
    return false;
  }
}
