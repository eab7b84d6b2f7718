import { StaleEpoch, StoreUnavailable } from '../../bridge/ports.ts';

/** What a script answers instead of a result; its header names those that it knows. */
export const CODES = { done: 0, staleEpoch: -1, gone: -2, otherRevision: -3 } as const;

/** The reply of a fenced script, unless it says that the fence no longer holds: then throws `StaleEpoch`. */
export function unlessStale(reply: unknown): unknown {
  if (reply === CODES.staleEpoch) throw new StaleEpoch('The lease was taken by another instance, or it expired');
  return reply;
}

/** What ioredis says of a command that it did not send. */
const NOT_SENT = /enableOfflineQueue options is false/;

/** ioredis' own sentences, in words that help an operator. */
const IN_OTHER_WORDS: readonly (readonly [RegExp, string])[] = [
  [/enableOfflineQueue options is false|Connection is closed|max retries per request/, 'there is no connection to it'],
  [/Command timed out/, 'it did not answer in time'],
];

/**
 * Any failure to reach Redis or to commit there (closed, timed out, READONLY, OOM, LOADING, CLUSTERDOWN …). Of the cause only
 * the text is kept: ioredis hangs the command with its arguments on it, and those may be credentials or payloads.
 */
export function unavailable(error: unknown): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error;
  const text = error instanceof Error ? error.message : String(error);
  const reason = IN_OTHER_WORDS.find(([pattern]) => pattern.test(text))?.[1] ?? text;
  const mayHaveCommitted = !isRefusal(error) && !NOT_SENT.test(text);
  return new StoreUnavailable(`The Redis store is not available: ${reason}`, {
    cause: new Error(text),
    mayHaveCommitted,
  });
}

/** The server's own answer: it did nothing. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}
