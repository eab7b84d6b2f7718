import { hash, timingSafeEqual } from 'node:crypto';

/**
 * Checks `Authorization: Bearer <key>`. Hashes are compared, in constant time, so that neither the key's length nor
 * its first characters can be guessed from how long it takes. [RFC 6750 §2.1]
 */
export function createKeyCheck(apiKey: string): (authorization: string | undefined) => boolean {
  // At the first check: a function that is asked for its health needs no cryptography.
  let expected: Buffer | undefined;
  return (authorization) => {
    if (authorization === undefined || !/^bearer /i.test(authorization)) return false;
    expected ??= hash('sha256', apiKey, 'buffer');
    return timingSafeEqual(hash('sha256', authorization.slice('bearer '.length).trim(), 'buffer'), expected);
  };
}
