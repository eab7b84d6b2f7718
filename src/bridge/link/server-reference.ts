import { type BrokerAddress, parseAddress } from '../transports/address.ts';

/** CONNACK and DISCONNECT: temporarily. */
export const USE_ANOTHER_SERVER = 0x9c;
/** CONNACK and DISCONNECT: from now on. */
export const SERVER_MOVED = 0x9d;

const REFERENCE = /^(?:\[[0-9a-f:.]+\]|[^\s[\]:/?#@\\]+)(?::\d{1,5})?$/i;

/**
 * Reads a Server Reference: a list, separated by spaces, of `host`, `host:port` or `[IPv6]:port`. How to connect stays
 * as it was at the address that said so; a reference without port means the scheme's own. What cannot be read is left
 * out. [MQTT 5.0 §4.11]
 */
export function readServerReference(text: string, from: BrokerAddress): BrokerAddress[] {
  return text.split(' ').flatMap((reference) => {
    if (!REFERENCE.test(reference)) return [];
    try {
      return [{ ...parseAddress(`${from.scheme}://${reference}`), path: from.path }];
    } catch {
      return [];
    }
  });
}
