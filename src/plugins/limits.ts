/** What a JSON message costs beyond its payload: topic, properties, and the rest of the document. */
const DOCUMENT_BYTES = 256 * 1024;
/** A batch of small messages; one of large ones has room for four. */
const MIN_BATCH_BYTES = 16 * 1024 * 1024;

export interface BodyLimits {
  /** One document. Base64 takes 4 bytes for 3, and JSON's escapes can double what is text. */
  readonly document: number;
  /** An array of messages. */
  readonly batch: number;
  /** A payload as it is. */
  readonly payload: number;
}

/** Bytes of a body that a request may have, derived from the largest payload. */
export function bodyLimits(maxPayload: number): BodyLimits {
  const document = 2 * maxPayload + DOCUMENT_BYTES;
  return { document, batch: Math.max(MIN_BATCH_BYTES, 4 * document), payload: maxPayload };
}

export type Mode = 'gateway' | 'function';

/** Seconds that a long poll waits at most. A function's is cut so that its platform does not end it before: 29 s at AWS. */
export const MAX_WAIT: Readonly<Record<Mode, number>> = { gateway: 60, function: 25 };

/** Limits of the HTTP server itself. */
export const SERVER_LIMITS = {
  /** Characters of a path's parameter: more than a header block can hold, so that the path's own limit decides. */
  maxParamLength: 16_384,
  /** Milliseconds until a request must have arrived completely. */
  requestTimeout: 60_000,
  /** Milliseconds that an idle connection is kept: longer than load balancers keep theirs (60 s). */
  keepAliveTimeout: 72_000,
} as const;
