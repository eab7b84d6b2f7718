/**
 * What AWS Lambda runs: `handler` behind an HTTP API, a REST API or a function URL, `streaming` behind a function URL with
 * response streaming, `keeper` on a schedule.
 */

import { bufferedHandler } from './aws/buffered.ts';
import type { Context } from './aws/events.ts';
import { type StreamingRuntime, streamingHandler } from './aws/streaming.ts';
import { type Kept, runKeeper } from './keeping.ts';
import { createService } from './service.ts';

declare const awslambda: StreamingRuntime | undefined;

const service = createService(process.env);

export const handler = bufferedHandler(service);

/** Undefined outside of Lambda's own runtime, which alone can stream. */
export const streaming =
  typeof awslambda === 'undefined' ? undefined : awslambda.streamifyResponse(streamingHandler(service, awslambda));

export async function keeper(_event: unknown, context: Context): Promise<Kept> {
  return runKeeper(await service.instance(), context.getRemainingTimeInMillis());
}
