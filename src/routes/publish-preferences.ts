import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { invalid } from '../schemas/faults.ts';

export const RESPOND_ASYNC = 'respond-async';

/** Headers of a publish, for the document; `readPreferences` judges them. */
export const preferenceHeaders = z.looseObject({
  'idempotency-key': z
    .string()
    .optional()
    .describe(
      'Names this request: a repeat with the same key and body is answered with the outcome of the first, for 24 hours. 1–255 printable ASCII characters.',
    )
    .meta({ examples: ['order-4711'] }),
  prefer: z
    .string()
    .optional()
    .describe(
      '`respond-async`: answer once the messages are durably queued, and publish them when the broker can be reached. Other preferences are ignored. [RFC 7240]',
    )
    .meta({ examples: [RESPOND_ASYNC] }),
});

export interface Preferences {
  respondAsync: boolean;
  idempotencyKey: string | null;
}

/** What the headers ask for; null when that is nothing. Throws `invalid-request` on a malformed key. */
export function readPreferences(headers: IncomingHttpHeaders): Preferences | null {
  const { 'idempotency-key': key, prefer } = headers;
  if (key === undefined && prefer === undefined) return null;
  const respondAsync = typeof prefer === 'string' && namesOf(prefer).includes(RESPOND_ASYNC);
  if (key === undefined) return respondAsync ? { respondAsync, idempotencyKey: null } : null;
  if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key)) {
    const detail = 'An Idempotency-Key has 1 to 255 printable ASCII characters.';
    throw invalid([{ pointer: '?idempotency-key', detail }]);
  }
  return { respondAsync, idempotencyKey: key };
}

/** Tells requests apart by what is JSON in them, however it is spaced, and by bytes that are not. */
export function fingerprintOf(document: unknown, bytes: Uint8Array = new Uint8Array(0)): string {
  return createHash('sha256')
    .update(JSON.stringify(document) ?? '')
    .update('\0')
    .update(bytes)
    .digest('base64url');
}

/** The names of preferences, without what is quoted in their values. [RFC 7240 §2] */
function namesOf(prefer: string): string[] {
  const unquoted = prefer.replaceAll(/"(?:[^"\\]|\\.)*"/g, '');
  return unquoted.split(',').map((preference) => (/^[^=;]*/.exec(preference)?.[0] ?? '').trim().toLowerCase());
}
