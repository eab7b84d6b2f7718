/** A block of PEM: "-----BEGIN LABEL-----" to "-----END LABEL-----". [RFC 7468] */
export interface PemBlock {
  readonly label: string;
  /** The whole block. */
  readonly text: string;
}

const BEGIN = '-----BEGIN ';

/**
 * The blocks of a text, in their order; one that does not end counts as one, to be read by nobody. What stands between
 * them is a comment. [RFC 7468 §2]
 */
export function pemBlocks(text: string): PemBlock[] {
  const [, ...pieces] = text.split(BEGIN);
  return pieces.map((piece) => {
    const label = piece.slice(0, Math.max(0, piece.indexOf('-----')));
    const end = `-----END ${label}-----`;
    const length = piece.indexOf(end);
    return { label, text: `${BEGIN}${length === -1 ? piece : piece.slice(0, length + end.length)}\n` };
  });
}

export function isPrivateKey({ label }: PemBlock): boolean {
  return label.endsWith('PRIVATE KEY');
}

export function isCertificate({ label }: PemBlock): boolean {
  return label.endsWith('CERTIFICATE');
}

/** Whether a private key cannot be read without its passphrase: PKCS#8, or the older form that OpenSSL had. */
export function isEncrypted({ label, text }: PemBlock): boolean {
  return label === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type: *4, *ENCRYPTED/m.test(text);
}

/** What the block says, decoded; null when it is not base64. */
export function pemBytes({ text }: PemBlock): Uint8Array | null {
  const base64 = text.replace(/^-----[^\n]*$/gm, '').replace(/\s/g, '');
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64') : null;
}
