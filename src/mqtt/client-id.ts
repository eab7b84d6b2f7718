import { PORTABLE_CLIENT_ID_BYTES } from './limits.ts';

/** The characters that every server has to allow in a ClientID. [MQTT-3.1.3-5] */
const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
/** 131 bits of randomness, within the 23 bytes of MQTT 3.1. */
const LENGTH = 22;
const SIX_BITS = 0b11_1111;

/** A new ClientID of 22 characters of `[0-9a-zA-Z]`, each equally likely. */
export function generateClientId(): string {
  let id = '';
  while (id.length < LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(LENGTH))) {
      // 62 does not divide 64: the two values past the alphabet are thrown away, or two characters would be likelier.
      const character = ALPHABET[byte & SIX_BITS];
      if (character !== undefined && id.length < LENGTH) id += character;
    }
  }
  return id;
}

/** What some brokers may refuse in a ClientID that MQTT 3.1.1 and 5.0 allow, as predicates. [MQTT-3.1.3-5] */
export function clientIdCautions(clientId: string): string[] {
  const cautions: string[] = [];
  const bytes = Buffer.byteLength(clientId);
  if (bytes > PORTABLE_CLIENT_ID_BYTES) {
    cautions.push(`has ${bytes} bytes; a broker need not accept more than ${PORTABLE_CLIENT_ID_BYTES}`);
  }
  if (!/^[0-9a-zA-Z]*$/.test(clientId)) {
    cautions.push('has characters outside 0-9, a-z and A-Z, which a broker need not accept');
  }
  return cautions;
}
