import type { IConnackPacket } from 'mqtt-packet';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { BrokerProfile } from '../dependencies.ts';
import { connectOptions } from '../link/connect-options.ts';
import { type Dialer, NO_HANDLERS } from '../link/dial.ts';
import { PacketIdentifiers } from '../link/packet-identifiers.ts';

/**
 * Connects clean and disconnects at once, leaving nothing behind: no session, no Will. Answers CONNACK; rejects as
 * `Dialer.connect`.
 */
export async function connectBriefly(
  parameters: ConnectionParameters,
  profile: BrokerProfile | undefined,
  dialer: Dialer,
  signal?: AbortSignal,
): Promise<IConnackPacket> {
  const { will: _will, ...clean } = parameters;
  if (clean.protocolVersion === '5.0') clean.sessionExpiryInterval = 0;
  else clean.cleanSession = true;
  const addresses = connectOptions(clean, profile, { clean: true, maxPayload: 0 });
  const link = await dialer.connect(addresses, new PacketIdentifiers(), NO_HANDLERS, signal);
  await link.disconnect();
  return link.connack;
}
