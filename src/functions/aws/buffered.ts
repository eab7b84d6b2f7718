import { isUtf8 } from 'node:buffer';
import awsLambdaFastify, { type LambdaFastifyOptions, type LambdaResponse } from '@fastify/aws-lambda';
import type { App } from '../../app.ts';
import { PROBLEM_JSON, Problem } from '../../errors/problem.ts';
import { endToEnd } from '../call.ts';
import { type Service, serve } from '../service.ts';
import { type Context, type HttpEvent, toCall } from './events.ts';

/** Bytes of what a function may answer, as JSON: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
export const MAX_RESPONSE = 6 * 1024 * 1024;

export type BufferedHandler = (event: HttpEvent, context: Context) => Promise<LambdaResponse>;

/** The API behind an HTTP API, a REST API, or a function URL in buffered mode: the answer is handed over as one. */
export function bufferedHandler(service: Service): BufferedHandler {
  return async (event, context) => {
    const call = toCall(event);
    const respond = (app: App) => invoke(app, plainEvent(event, call), context, call.method);
    return serve(service, call.method, context.getRemainingTimeInMillis(), respond, toResponse);
  };
}

async function invoke(app: App, event: object, context: Context, method: string): Promise<LambdaResponse> {
  const handle = awsLambdaFastify<object, LambdaFastifyOptions, LambdaResponse>(app, {
    decorateRequest: false,
    parseCommaSeparatedQueryParams: false,
    enforceBase64: ({ rawPayload }) => !isUtf8(rawPayload),
  });
  const response = await handle(event, context);
  const answered = { ...response, headers: endToEnd(response.headers) };
  return fits(answered) ? answered : toResponse(tooLarge(method));
}

/**
 * The event with a path that says all: what @fastify/aws-lambda makes of queries splits values at commas, and loses what
 * repeats. It takes out the headers that only it may set.
 */
function plainEvent(event: HttpEvent, { method, url, headers, body }: ReturnType<typeof toCall>): object {
  const { requestId } = event.requestContext;
  const sourceIp =
    'http' in event.requestContext ? event.requestContext.http.sourceIp : event.requestContext.identity.sourceIp;
  return {
    version: event.version,
    httpMethod: method,
    path: url,
    headers,
    body: body?.toString('base64') ?? null,
    isBase64Encoded: true,
    requestContext: { requestId, http: { sourceIp } },
  };
}

/** An answer that is too large would be Lambda's error to the gateway, and 500 or 502 to the caller. */
function fits(response: LambdaResponse): boolean {
  // No character takes more than six bytes (\\u0000), and most answers are far from the limit.
  if (6 * response.body.length < MAX_RESPONSE / 2) return true;
  return Buffer.byteLength(JSON.stringify(response)) <= MAX_RESPONSE;
}

function tooLarge(method: string): Problem {
  const hint = method === 'GET' || method === 'HEAD' ? ' Ask for less, for instance with a lower `limit`.' : '';
  return new Problem('payload-too-large', {
    detail: `The answer is larger than the ${MAX_RESPONSE} bytes that AWS Lambda hands over.${hint}`,
  });
}

function toResponse(problem: Problem): LambdaResponse {
  return {
    statusCode: problem.status,
    headers: { 'content-type': PROBLEM_JSON },
    body: JSON.stringify(problem),
    isBase64Encoded: false,
  };
}
