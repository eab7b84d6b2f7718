import { hash, timingSafeEqual } from 'node:crypto';

/**
 * Checks `Authorization: Bearer <key>`. Hashes are compared, in constant time, so that neither the key's length nor
 * its first characters can be guessed from how long it takes. [RFC 6750 §2.1]
 */
export function createKeyCheck(apiKey: string): (authorization: string | undefined) => boolean {
  const expected = hash('sha256', apiKey, 'buffer');
  return (authorization) => {
    if (authorization === undefined || !/^bearer /i.test(authorization)) return false;
    return timingSafeEqual(hash('sha256', authorization.slice('bearer '.length).trim(), 'buffer'), expected);
  };
}
