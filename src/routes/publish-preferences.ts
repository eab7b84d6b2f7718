import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Problem } from '../errors/problem.ts';
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

/** Tells bodies apart, however they are spaced. */
export function fingerprintOf(body: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('base64url');
}

/**
 * For publishes that belong to no Connection: refuses what only the store of one can honour. A caller who asks for it
 * relies on it, and would get duplicates, or a wait, without a word.
 */
export function refusePreferences(request: FastifyRequest, _reply: unknown, done: (problem?: Problem) => void): void {
  const { 'idempotency-key': key, prefer } = request.headers;
  if (key === undefined && prefer === undefined) {
    done();
    return;
  }
  const asked = [
    ...(key === undefined ? [] : ['Idempotency-Key']),
    ...(typeof prefer === 'string' && namesOf(prefer).includes(RESPOND_ASYNC) ? [`Prefer: ${RESPOND_ASYNC}`] : []),
  ];
  const detail = `${asked.join(' and ')}: only where a Connection publishes, POST /v1/connections/{id}/publish.`;
  done(asked.length > 0 ? new Problem('not-available-here', { detail }) : undefined);
}

/** The names of preferences, without what is quoted in their values. [RFC 7240 §2] */
function namesOf(prefer: string): string[] {
  const unquoted = prefer.replaceAll(/"(?:[^"\\]|\\.)*"/g, '');
  return unquoted.split(',').map((preference) => (/^[^=;]*/.exec(preference)?.[0] ?? '').trim().toLowerCase());
}
