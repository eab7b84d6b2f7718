import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { TransportTarget } from './target.ts';

/** Link-local ranges and the metadata services of the clouds: never a broker, and what request forgery looks for. */
const FORBIDDEN = new BlockList();
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4');
FORBIDDEN.addSubnet('0.0.0.0', 8, 'ipv4');
FORBIDDEN.addAddress('100.100.100.200', 'ipv4');
FORBIDDEN.addAddress('168.63.129.16', 'ipv4');
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6');
FORBIDDEN.addAddress('fd00:ec2::254', 'ipv6');
FORBIDDEN.addAddress('fd20:ce::254', 'ipv6');
// 169.254.0.0/16 once more: IPv4-compatible, and behind the NAT64 prefix. [RFC 4291 §2.5.5.1, RFC 6052 §2.1]
FORBIDDEN.addSubnet('::a9fe:0', 112, 'ipv6');
FORBIDDEN.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
FORBIDDEN.addAddress('::', 'ipv6');

/** Whether an IP address may never be connected to. IPv4-mapped IPv6 addresses count as the IPv4 address. */
export function isForbiddenAddress(address: string): boolean {
  return FORBIDDEN.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** The `code` of such an error, as system errors have one. */
export const FORBIDDEN_ADDRESS = 'EFORBIDDEN';

export class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress';
  readonly code = FORBIDDEN_ADDRESS;
}

/**
 * `lookup` for `net.connect` and friends: a name is resolved once, and the addresses that were checked are the ones
 * connected to, so that a second answer of the name server cannot lead elsewhere.
 */
const guardedLookup: LookupFunction = (hostname, options, callback) => {
  systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) {
      callback(error, []);
      return;
    }
    const bad = addresses.find(({ address }) => isForbiddenAddress(address));
    const first = addresses[0];
    if (bad !== undefined) callback(new ForbiddenAddress(`${hostname} resolves to ${bad.address}`), []);
    else if (options.all) callback(null, addresses);
    else if (first !== undefined) callback(null, first.address, first.family);
    else callback(new Error(`${hostname} has no address`), []);
  });
};

/** How a target's host name is resolved: checked when a caller named it. */
export function lookupFor({ fromCaller }: TransportTarget): { lookup?: LookupFunction } {
  return fromCaller ? { lookup: guardedLookup } : {};
}
