import { SCRAM_SHA_256 } from '../../mqtt/authentication.ts';
import type { Authentication, AuthenticationOptions } from './authentication.ts';
import { LinkError } from './link-end.ts';
import { ScramSha256 } from './scram-sha-256.ts';

/**
 * Begins the exchange of one network connection, if there is to be one. Throws `LinkError` when a method that the bridge
 * knows lacks what it needs.
 */
export function startAuthentication(options: AuthenticationOptions | undefined): Authentication | null {
  if (options === undefined) return null;
  const { method, data, username, password } = options;
  if (method !== SCRAM_SHA_256) return oneStep(method, data);
  if (username === undefined || password === undefined) {
    throw new LinkError({ kind: 'authentication', detail: `${method} needs a user name and a password` });
  }
  return new ScramSha256({ username, password });
}

/** A method with nothing but the data of CONNECT: tokens of a platform, say. */
function oneStep(method: string, data: Buffer | undefined): Authentication {
  return {
    initialData: data,
    proceed: () =>
      Promise.reject(
        new Error(
          `The broker goes on with the authentication method "${method}", of which the bridge sends the first step only; ` +
            `the bridge leads only the exchange of ${SCRAM_SHA_256}`,
        ),
      ),
    complete: () => undefined,
  };
}
