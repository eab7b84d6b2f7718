/**
 * Every problem that the API can answer: its name (`type` is `/problems/<name>`), status, title, and whether repeating
 * the same request can help. The only place that says so; the docs page and OpenAPI come from it.
 */
export const PROBLEMS = {
  'invalid-request': { status: 400, title: 'The request is not valid', retryable: false },
  'invalid-cursor': { status: 400, title: 'The cursor is not one of this queue', retryable: false },
  unauthorized: { status: 401, title: 'Credentials are missing or wrong', retryable: false },
  forbidden: { status: 403, title: 'This caller is not allowed to do that', retryable: false },
  'not-found': { status: 404, title: 'There is no such resource', retryable: false },
  'connection-not-found': { status: 404, title: 'There is no such Connection', retryable: false },
  'publish-not-found': { status: 404, title: 'There is no such queued publish, or no longer', retryable: false },
  'no-retained-message': { status: 404, title: 'The topic has no retained message', retryable: false },
  'subscription-not-found': { status: 404, title: 'The Connection has no such subscription', retryable: false },
  'method-not-allowed': { status: 405, title: 'The resource does not know this method', retryable: false },
  'not-acceptable': { status: 406, title: 'The representation asked for is not available', retryable: false },
  'id-in-use': { status: 409, title: 'Another Connection has this id', retryable: false },
  'client-id-in-use': { status: 409, title: 'Another Connection has this ClientID at this broker', retryable: false },
  'different-parameters': { status: 409, title: 'The Connection exists with other parameters', retryable: false },
  'immutable-parameter': { status: 409, title: 'This parameter cannot change', retryable: false },
  'changed-meanwhile': { status: 409, title: 'The Connection was changed by another request', retryable: true },
  'still-running': { status: 409, title: 'The first request with this Idempotency-Key still runs', retryable: true },
  'connection-not-usable': {
    status: 409,
    title: 'The Connection is refused or taken over',
    retryable: false,
  },
  'no-gateway': { status: 409, title: 'No instance stays to keep it attached', retryable: false },
  'not-attached': { status: 409, title: 'The Connection is not attached', retryable: false },
  'session-expiry-not-allowed': {
    status: 409,
    title: 'The session expiry cannot be raised from zero',
    retryable: false,
  },
  'payload-too-large': { status: 413, title: 'The payload is too large', retryable: false },
  'unsupported-media-type': { status: 415, title: 'The content type is not supported', retryable: false },
  'broker-refused': { status: 422, title: 'The broker refused', retryable: false },
  'idempotency-key-reused': {
    status: 422,
    title: 'The Idempotency-Key belongs to another request',
    retryable: false,
  },
  'too-many-requests': { status: 429, title: 'Too many requests', retryable: true },
  internal: { status: 500, title: 'Something went wrong in the bridge', retryable: true },
  'not-available-here': { status: 501, title: 'This is not available here', retryable: false },
  'broker-unreachable': { status: 502, title: 'The broker cannot be reached', retryable: true },
  'tls-failed': { status: 502, title: 'The TLS connection to the broker failed', retryable: false },
  'store-unavailable': { status: 503, title: 'The store is not available', retryable: true },
  'shutting-down': { status: 503, title: 'The bridge is shutting down', retryable: true },
  'not-owner': { status: 503, title: 'Another instance owns the Connection', retryable: true },
  overloaded: { status: 503, title: 'Too much work is waiting', retryable: true },
  'no-answer': { status: 504, title: 'No answer in time', retryable: true },
  'outcome-unknown': { status: 504, title: 'The outcome of the publish is unknown', retryable: false },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>;

export type ProblemName = keyof typeof PROBLEMS;
