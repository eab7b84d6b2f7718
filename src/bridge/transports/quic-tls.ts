import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { TlsMaterial } from '../dependencies.ts';
import { coded } from './quic-errors.ts';
import type { CloseReason } from './quic-package.ts';

/** A TLS alert is a transport error from here on. [RFC 9000 §20.1] */
const CRYPTO_ERROR = 0x100;
export const BAD_CERTIFICATE = CRYPTO_ERROR + 42;

/** What quiche had against the broker's certificate, by the alert that it sends for it: Node's codes for the same. */
const VERIFICATION_FAULTS: Readonly<Record<number, string>> = {
  44: 'CERT_REVOKED',
  45: 'CERT_HAS_EXPIRED',
  48: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
};

/** The name to ask for; an IP address cannot be one (RFC 6066 §3). */
export function serverNameOf(host: string, { serverName }: TlsMaterial): string | null {
  return serverName ?? (isIP(host) === 0 ? host : null);
}

/**
 * Whether the certificate is one of the host, null when it is. quiche verifies the chain, and a name; it has no check for
 * an IP address.
 */
export function identityFault(host: string, tls: TlsMaterial, leaf: Uint8Array | undefined): Error | null {
  if (tls.rejectUnauthorized === false) return null;
  if (leaf === undefined) return coded('ERR_TLS_CERT_ALTNAME_INVALID', 'The broker showed no certificate');
  return checkServerIdentity(tls.serverName ?? host, new X509Certificate(leaf).toLegacyObject()) ?? null;
}

/** A failure of the handshake that was found here. */
export function localTlsError({ errorCode }: CloseReason): Error {
  const alert = errorCode - CRYPTO_ERROR;
  return coded(VERIFICATION_FAULTS[alert] ?? 'EPROTO', `TLS failed with alert ${alert}`);
}

/** What the broker said when it ended the handshake; null when that is not why it closed. */
export function peerTlsError({ isApp, errorCode }: CloseReason): Error | null {
  const alert = errorCode - CRYPTO_ERROR;
  // In OpenSSL's words, by which alerts are told from other failures.
  return isApp || alert < 0 || alert > 0xff ? null : coded('EPROTO', `The broker sent SSL alert number ${alert}`);
}
