/** Judges certificates and keys before anything connects with them. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { derivationRounds } from './key-derivation.ts';
import { isCertificate, isEncrypted, isPrivateKey, type PemBlock, pemBlocks, pemBytes } from './pem.ts';

/** All in PEM, but the passphrase. */
export interface TlsTexts {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
}

export interface MaterialFault {
  readonly member: keyof TlsTexts;
  /** A sentence that repeats nothing of the material. */
  readonly detail: string;
}

/**
 * All of the process waits while a key is decrypted: about 0.1 s at this, with the slowest usual hash (SHA-512). OpenSSL
 * writes 2,048 unless told otherwise, and with scrypt what counts 65,536.
 */
const MAX_DERIVATION_ROUNDS = 100_000;

/**
 * Every fault of certificates and keys that shows without the broker: what cannot be read, a passphrase that is wrong
 * or missing, a key of another certificate. Slow where a passphrase is: for documents that are being written.
 */
export function materialFaults(texts: TlsTexts): MaterialFault[] {
  const faults = [...certificateFaults('ca', texts.ca), ...certificateFaults('cert', texts.cert)];
  if (texts.key === undefined) return faults;
  const read = readKey(texts.key, texts.passphrase);
  if ('fault' in read) return [...faults, read.fault];
  const leaf = leafOf(texts.cert);
  if (leaf !== null && !leaf.checkPrivateKey(read.key)) {
    faults.push({ member: 'key', detail: 'The key is not that of the certificate, which is the first in `tls.cert`.' });
  }
  return faults.length > 0 ? faults : contextFaults(texts, read.key);
}

/** What a reader should know of a client certificate's time, as the end of "The client certificate …"; else null. */
export function validityCaution(cert: string, now: Date = new Date()): string | null {
  const leaf = leafOf(cert);
  if (leaf === null) return null;
  if (leaf.validToDate < now) return `expired on ${leaf.validToDate.toISOString()}`;
  if (leaf.validFromDate > now) return `is not valid before ${leaf.validFromDate.toISOString()}`;
  return null;
}

/** The certificates of a text of PEM, one by one. */
export function certificatesIn(pem: string): string[] {
  return pemBlocks(pem)
    .filter(isCertificate)
    .map(({ text }) => text);
}

function certificateFaults(member: 'ca' | 'cert', pem: string | undefined): MaterialFault[] {
  if (pem === undefined) return [];
  const blocks = pemBlocks(pem);
  if (blocks.some(isPrivateKey)) {
    return [{ member, detail: `\`tls.${member}\` has a private key in it: certificates are shown, keys are not.` }];
  }
  const certificates = blocks.filter(isCertificate);
  if (certificates.length === 0) {
    return [{ member, detail: `\`tls.${member}\` has no PEM block of a certificate ("-----BEGIN CERTIFICATE-----").` }];
  }
  return certificates.flatMap((block, index) =>
    parseCertificate(block) === null
      ? [{ member, detail: `Certificate ${index + 1} of ${certificates.length} in \`tls.${member}\` cannot be read.` }]
      : [],
  );
}

function parseCertificate({ text }: PemBlock): X509Certificate | null {
  try {
    return new X509Certificate(text);
  } catch {
    return null;
  }
}

/** The certificate that is shown first, which is the client's own. [RFC 8446 §4.4.2] */
function leafOf(cert: string | undefined): X509Certificate | null {
  const first = pemBlocks(cert ?? '').find(isCertificate);
  return first === undefined ? null : parseCertificate(first);
}

function readKey(pem: string, passphrase: string | undefined): { key: KeyObject } | { fault: MaterialFault } {
  const fault = (member: 'key' | 'passphrase', detail: string) => ({ fault: { member, detail } });
  const keys = pemBlocks(pem).filter(isPrivateKey);
  const [block] = keys;
  if (block === undefined) {
    return fault('key', '`tls.key` has no PEM block of a private key ("-----BEGIN PRIVATE KEY-----").');
  }
  if (keys.length > 1) return fault('key', '`tls.key` has more than one private key.');
  const encrypted = isEncrypted(block);
  if (encrypted && passphrase === undefined) {
    return fault('passphrase', 'The key is encrypted: `tls.passphrase` is missing.');
  }
  if (block.label === 'ENCRYPTED PRIVATE KEY') {
    const der = pemBytes(block);
    const rounds = der === null ? Number.POSITIVE_INFINITY : derivationRounds(der);
    if (rounds === Number.POSITIVE_INFINITY) return fault('key', 'The key cannot be read.');
    if (rounds > MAX_DERIVATION_ROUNDS) return fault('key', tooManyRounds(rounds));
  }
  try {
    return { key: createPrivateKey({ key: block.text, ...(passphrase === undefined ? {} : { passphrase }) }) };
  } catch {
    return encrypted
      ? fault('passphrase', 'The passphrase does not decrypt the key.')
      : fault('key', 'The key cannot be read.');
  }
}

function tooManyRounds(rounds: number): string {
  return (
    `The key takes ${rounds} rounds to decrypt, during which the bridge does nothing else: ` +
    `at most ${MAX_DERIVATION_ROUNDS} (0.1 s) are allowed, and \`openssl pkcs8 -topk8 -iter 2048\` writes it with fewer.`
  );
}

/** What OpenSSL has against material that can be read: a key or a signature that is too weak. */
function contextFaults({ ca, cert }: TlsTexts, key: KeyObject): MaterialFault[] {
  try {
    const pem = key.export({ type: 'pkcs8', format: 'pem' });
    createSecureContext({ key: pem, ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }) });
    return [];
  } catch (error) {
    const reason = error instanceof Error && 'reason' in error ? `: ${error.reason}` : '';
    return [{ member: 'cert', detail: `The certificate cannot be used${reason}.` }];
  }
}
