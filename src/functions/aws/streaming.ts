import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { answer, problemAnswer } from '../call.ts';
import { type Service, serve } from '../service.ts';
import { type Context, type EventV2, toCall } from './events.ts';

/** What Lambda's runtime offers as the global `awslambda`, and nothing else does. */
export interface StreamingRuntime {
  streamifyResponse(handler: StreamingHandler): unknown;
  readonly HttpResponseStream: {
    from(stream: Writable, head: { statusCode: number; headers: Readonly<Record<string, string>> }): Writable;
  };
}

export type StreamingHandler = (event: EventV2, stream: Writable, context: Context) => Promise<void>;

/**
 * The API behind a function URL with response streaming. Not by @fastify/aws-lambda: that takes a body of which nothing is
 * there yet when the head is sent, as with Server-Sent Events, for an empty one.
 */
export function streamingHandler(service: Service, { HttpResponseStream }: StreamingRuntime): StreamingHandler {
  return async (event, stream, context) => {
    const call = toCall(event);
    const remaining = context.getRemainingTimeInMillis();
    const { status, headers, body } = await serve(
      service,
      call.method,
      remaining,
      (app) => answer(app, call),
      problemAnswer,
    );
    const response = HttpResponseStream.from(stream, { statusCode: status, headers });
    // The head goes out with the first write, be it of nothing: the body may be empty, or come much later.
    response.write('');
    await pipeline(body, response);
  };
}
