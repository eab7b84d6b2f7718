import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { HttpHandler, HttpRequest } from '@azure/functions';
import { answer, type Call, problemAnswer } from '../call.ts';
import { type Service, serve } from '../service.ts';

/** The API as an HTTP trigger, with bodies that stream both ways. `timeoutMs`: when the platform gives a request up. */
export function httpHandler(service: Service, timeoutMs: number): HttpHandler {
  return (request) => {
    const call = toCall(request);
    return serve(service, call.method, timeoutMs, (app) => answer(app, call), problemAnswer);
  };
}

/** Repeated headers are joined already; dot segments of the path are resolved, as in any `URL`. */
function toCall({ method, url, headers, body }: HttpRequest): Call {
  const { pathname, search } = new URL(url);
  return {
    method,
    url: `${pathname}${search}`,
    headers: Object.fromEntries(headers),
    body: body === null ? null : Readable.fromWeb(body as ReadableStream<Uint8Array>),
  };
}
