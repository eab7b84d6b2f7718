import { generateClientId } from '../mqtt/client-id.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import { connectOptions } from './connect-options.ts';
import type { BrokerProfile } from './dependencies.ts';
import { dial, NO_HANDLERS } from './dial.ts';
import { problemOfFailure } from './link-problems.ts';
import { PacketIdentifiers } from './packet-identifiers.ts';

/**
 * An assigned ClientID. On v5 the broker chooses it: one connection that leaves no session behind asks for it. On 3.x,
 * where a broker would not tell its choice, the bridge generates one. Rejects with the problem of connecting.
 */
export async function assignClientId(
  parameters: ConnectionParameters,
  profile: BrokerProfile | undefined,
): Promise<string> {
  if (parameters.protocolVersion !== '5.0') return generateClientId();
  const { will: _will, ...rest } = parameters;
  const question = { ...rest, clientId: '', sessionExpiryInterval: 0 };
  try {
    const link = await dial(
      connectOptions(question, profile, { clean: true, maxPayload: 0 }),
      new PacketIdentifiers(),
      NO_HANDLERS,
    );
    await link.disconnect();
    return link.connack.properties?.assignedClientIdentifier ?? generateClientId();
  } catch (error) {
    throw problemOfFailure(error, parameters.protocolVersion);
  }
}
