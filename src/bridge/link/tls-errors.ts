/** What an error of a TLS handshake means: which side failed, and why. Every text is the bridge's own. */
import type { TransportError } from '../transports/early-end.ts';

/** Names of a certificate that are told; there can be any number. */
const MAX_NAMES = 10;

/** By the code of the verification, the end of "The broker's certificate …". [RFC 5280 §6, OpenSSL X509_V_ERR_*] */
const CERTIFICATE_FAULTS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed, and not in `tls.ca`',
  SELF_SIGNED_CERT_IN_CHAIN: 'is from a CA that is not trusted here: give the CA in `tls.ca`',
  UNABLE_TO_GET_ISSUER_CERT: 'is from a CA that is not trusted here: give the root CA in `tls.ca`',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'is from a CA that is not trusted here: give the CA in `tls.ca`',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'is from an unknown CA, or the broker does not send the certificates in between: give the CA in `tls.ca`',
  CERT_HAS_EXPIRED: 'has expired, or one of its chain has',
  CERT_NOT_YET_VALID: 'is not valid yet, or the clock of this machine is wrong',
  CERT_REVOKED: 'has been revoked',
  CERT_SIGNATURE_FAILURE: 'has a signature that is wrong',
  CERT_CHAIN_TOO_LONG: 'has a chain that is too long',
  CERT_UNTRUSTED: 'is not trusted for TLS',
  CERT_REJECTED: 'is rejected by its CA’s own entry',
  INVALID_CA: 'is from a certificate that may not issue others',
  INVALID_PURPOSE: 'is not one for servers (Extended Key Usage)',
  PATH_LENGTH_EXCEEDED: 'has a chain that is longer than its CA allows',
  HOSTNAME_MISMATCH: 'is for another host',
};

/** What the broker said by an alert before it closed: its name in OpenSSL, and what it means. [RFC 8446 §6] */
const ALERTS: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  40: [
    'handshake failure',
    'The broker accepts nothing that it was offered: no common cipher, or (TLS 1.2) it requires a client certificate',
  ],
  42: ['bad certificate', 'The broker refused the client certificate: it cannot be read or is wrong'],
  43: ['unsupported certificate', 'The broker refused the client certificate: it is of a kind that it does not take'],
  44: ['certificate revoked', 'The broker refused the client certificate: it has been revoked'],
  45: ['certificate expired', 'The broker refused the client certificate: it has expired or is not valid yet'],
  46: ['certificate unknown', 'The broker refused the client certificate without saying why'],
  47: ['illegal parameter', 'The broker refused the TLS handshake'],
  48: ['unknown ca', 'The broker refused the client certificate: it does not know the CA'],
  49: ['access denied', 'The broker refused the client certificate: it is valid, and has no access'],
  50: ['decode error', 'The broker could not read the TLS handshake'],
  51: ['decrypt error', 'The broker refused the client certificate or the handshake: a signature did not verify'],
  70: ['protocol version', 'The broker and the bridge have no TLS version in common'],
  71: ['insufficient security', 'The broker wants stronger ciphers than it was offered'],
  80: ['internal error', 'The broker failed in the TLS handshake'],
  112: ['unrecognized name', 'The broker knows no server of the name that it was asked for: see `tls.serverName`'],
  116: ['certificate required', 'The broker requires a client certificate: give `tls.cert` and `tls.key`'],
  120: ['no application protocol', 'The broker takes none of the ALPN protocols that it was offered: see `tls.alpn`'],
};

const NO_TLS = 'The broker answered with something that is not TLS: perhaps the port is one for plaintext';
const NO_COMMON_VERSION = 'The broker and the bridge have no TLS version in common';

/** What this side found wrong with the handshake, by OpenSSL's reason. */
const OWN_FINDINGS: Readonly<Record<string, string>> = {
  'wrong version number': NO_TLS,
  'packet length too long': NO_TLS,
  'unsupported protocol': NO_COMMON_VERSION,
  'version too low': NO_COMMON_VERSION,
  'no protocols available': NO_COMMON_VERSION,
  'no ciphers available': 'The broker and the bridge have no cipher in common',
  'dh key too small': 'The broker offers a key exchange that is too weak',
  'ee key too small': 'The certificate of the broker or of the client has a key that is too small',
  'ca md too weak': 'A certificate has a signature that is too weak',
  'bad decrypt': 'The client’s key cannot be decrypted: see `tls.passphrase`',
  'key values mismatch': 'The client’s key is not that of its certificate',
};

/** OpenSSL's own and those of a verification that are not in the table; EPROTO is what a write says of any of them. */
const TLS_CODE = /^((ERR_(TLS|SSL|OSSL|CRYPTO)|CERT|CRL|UNABLE_TO|ERROR_IN)_|(EPROTO|UNSPECIFIED)$)/;
const OPENSSL_ERROR = /error:[0-9A-F]{8}:[^:]*:[^:]*:([^:]*)/;
const ALERT_NUMBER = /SSL alert number (\d+)/;

/** The sentence for an error of TLS; null when it is none. */
export function describeTlsError(error: TransportError): string | null {
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return otherHost(error);
  const fault = CERTIFICATE_FAULTS[code];
  if (fault !== undefined) return `The broker’s certificate ${fault} (${code})`;
  if (!TLS_CODE.test(code)) return null;
  const alert = ALERT_NUMBER.exec(error.message)?.[1];
  if (alert !== undefined) {
    const [name, meaning] = ALERTS[Number(alert)] ?? [alert, 'The broker ended the TLS handshake'];
    return `${meaning} (TLS alert: ${name})`;
  }
  const reason = OPENSSL_ERROR.exec(error.message)?.[1] || withoutAdvice(error.message) || code;
  return `${OWN_FINDINGS[reason] ?? 'The TLS handshake failed'} (${reason})`;
}

function otherHost(error: TransportError & { host?: unknown; cert?: { subjectaltname?: string } }): string {
  const names = (error.cert?.subjectaltname ?? '').split(', ').map((name) => name.replace(/^(DNS|IP Address):/, ''));
  const told = names.slice(0, MAX_NAMES).join(', ') || 'no host at all';
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
  const wanted = typeof error.host === 'string' ? error.host.replace(/\.$/, '') : 'the host';
  return `The broker’s certificate is for ${told}${more}, not for ${wanted}: if it is the right one, see \`tls.serverName\``;
}

/** Node adds to some texts how it could be started otherwise. */
function withoutAdvice(message: string): string {
  return message.split(/[;\n]/)[0]?.trim() ?? '';
}
