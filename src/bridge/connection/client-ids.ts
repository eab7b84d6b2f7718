import { generateClientId } from '../../mqtt/client-id.ts';
import { checkString, stringCaution } from '../../mqtt/strings.ts';
import { isReservedId, MAX_ID_BYTES } from '../../schemas/common.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { BrokerProfile } from '../dependencies.ts';
import type { Dialer } from '../link/dial.ts';
import { problemOfFailure } from '../link/link-problems.ts';
import { connectBriefly } from './brief-connection.ts';

/**
 * An assigned ClientID. On v5 the broker chooses it: one connection that leaves no session behind asks for it. On 3.x,
 * where a broker would not tell its choice, the bridge generates one. Rejects with the problem of connecting.
 */
export async function assignClientId(
  parameters: ConnectionParameters,
  profile: BrokerProfile | undefined,
  dialer: Dialer,
): Promise<string> {
  if (parameters.protocolVersion !== '5.0') return generateClientId();
  try {
    const connack = await connectBriefly({ ...parameters, clientId: '' }, profile, dialer);
    const assigned = connack.properties?.assignedClientIdentifier ?? '';
    return isUsable(assigned) ? assigned : generateClientId();
  } catch (error) {
    throw problemOfFailure(error, parameters.protocolVersion);
  }
}

/** A broker may say anything; the ClientID has to be one, and to serve as the id. */
function isUsable(assigned: string): boolean {
  const sound = checkString(assigned) === null && stringCaution(assigned) === null;
  return assigned !== '' && sound && Buffer.byteLength(assigned) <= MAX_ID_BYTES && !isReservedId(assigned);
}
