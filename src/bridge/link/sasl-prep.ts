/** Non-ASCII spaces, which become a space. [RFC 3454 C.1.2] */
const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** What becomes nothing. [RFC 3454 B.1] */
const NOTHING = /\u034f|[\u180b-\u180d]|[\ufe00-\ufe0f]|\u200d|[\u00ad\u1806\u200c\u2060\ufeff]/gu;
/** What may not be in the result: C.2 to C.9 of RFC 3454. */
const PROHIBITED =
  /\u0340|\u0341|[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}\u06dd\u070f\u180e\u2028\u2029\u206a-\u206f\ufff9-\ufffd\u2ff0-\u2ffb\u200e\u200f\u202a-\u202e\u{e0001}\u{e0020}-\u{e007f}]/u;

/**
 * Prepares a user name or password, so that the same text typed in two ways is the same bytes. Throws when it has
 * characters that neither may have. Its rule for text of both directions is the server's to judge. [RFC 4013]
 */
export function saslPrep(text: string): string {
  const prepared = text.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC');
  if (PROHIBITED.test(prepared)) {
    throw new Error('SCRAM: the user name or password has characters that it may not have [RFC 4013 §2.3]');
  }
  return prepared;
}
