import { pipeline } from 'node:stream/promises';
import type { HttpFunction, Request, Response } from '@google-cloud/functions-framework';
import { answer, type Call, problemAnswer } from '../call.ts';
import { type Service, serve } from '../service.ts';

/** The API as an HTTP function. `timeoutMs`: when the platform ends a request. */
export function httpFunction(service: Service, timeoutMs: number): HttpFunction {
  return async (request, response) => {
    const call = toCall(request);
    const gone = callerGone(response);
    const respond = (app: Parameters<typeof answer>[0]) => answer(app, call, gone);
    const { status, headers, body } = await serve(service, call.method, timeoutMs, respond, problemAnswer);
    response.writeHead(status, headers);
    // Who went away needs no answer; to whom the rest of one cannot be sent must see that it is missing.
    await pipeline(body, response).catch(() => response.destroy());
  };
}

/**
 * A body that has a media type was read by the framework, and inflated: what the headers say of its length is of another
 * one. One without is still to be read.
 */
function toCall(request: Request): Call {
  const { method, originalUrl, headers, rawBody } = request;
  const { 'content-length': _length, 'content-encoding': _encoding, 'transfer-encoding': _transfer, ...rest } = headers;
  const kept = Object.entries(rawBody === undefined ? headers : rest);
  const defined = kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return { method, url: originalUrl, headers: Object.fromEntries(defined), body: rawBody ?? request };
}

function callerGone(response: Response): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  return gone.signal;
}
