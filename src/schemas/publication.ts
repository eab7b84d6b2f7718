import { z } from 'zod';
import { lazily } from './lazily.ts';
import { batchFailure, publishResult } from './message.ts';

const ID_EXAMPLE = 'SzE3LnBSUWYyZw';

/** The answer to a publish that was queued. */
export const queuedPublish = lazily(() =>
  z
    .object({
      publishId: z.string().describe('Asks for the outcome: `GET /v1/publishes/{publishId}`.'),
      state: z.literal('pending'),
    })
    .meta({ id: 'QueuedPublish', examples: [{ publishId: ID_EXAMPLE, state: 'pending' }] }),
);

export const publicationView = lazily(() => {
  const result = z.union([publishResult.unwrap(), batchFailure.unwrap()]).nullable();
  return z
    .object({
      publishId: z.string(),
      state: z.enum(['pending', 'done']).describe('`done`: every message has its outcome.'),
      acceptedAt: z.string().describe('When it was queued, RFC 3339.'),
      result: result
        .optional()
        .describe('Of a single message, as the request would have been answered; null: not yet.'),
      results: z.array(result).optional().describe('Of a batch, in its order; null: not yet.'),
    })
    .meta({
      id: 'Publish',
      examples: [
        {
          publishId: ID_EXAMPLE,
          state: 'done',
          acceptedAt: '2026-11-22T16:55:00.000Z',
          result: { qos: 1, reasonCode: 0, reason: 'Success', matched: null },
        },
      ],
    });
});
