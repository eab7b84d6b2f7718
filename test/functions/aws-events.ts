/**
 * Events as AWS makes them of requests:
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html (2.0, HTTP API),
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (2.0, function URL),
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html (1.0, REST API).
 */
import type { EventV1, EventV2 } from '../../src/functions/aws/events.ts';
import { headersOf, type Sent } from './platform.ts';

export const SOURCE_IP = '192.0.2.1';

/** What both take for text; any other body travels in base64. */
const TEXT = /^(text\/|application\/(json|javascript|xml)\b|application\/[\w.-]+\+(json|xml)\b)/;

/** An HTTP API decodes the path, and cuts it off where a `?` comes out. */
export function httpApiEvent(request: Sent): EventV2 {
  const event = eventV2(request, 'abcde12345.execute-api.eu-central-1.amazonaws.com');
  const [rawPath = ''] = decodeURIComponent(event.rawPath).split('?');
  return { ...event, rawPath };
}

/** A function URL hands the path over as it came. */
export function functionUrlEvent(request: Sent): EventV2 {
  return eventV2(request, 'abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws');
}

function eventV2(request: Sent, domainName: string): EventV2 {
  const [rawPath = '', rawQueryString = ''] = splitUrl(request.url);
  const { cookie = [], ...headers } = grouped(request, (name) => name.toLowerCase());
  const cookies = cookie.flatMap((value) => value.split(/; */));
  return {
    version: '2.0',
    rawPath,
    rawQueryString,
    headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.join(',')])),
    ...(cookies.length === 0 ? {} : { cookies }),
    ...bodyOf(request),
    requestContext: {
      stage: '$default',
      domainName,
      requestId: 'JKJaXmPLvHcESHA=',
      http: { method: request.method, sourceIp: SOURCE_IP },
    },
  };
}

/** A REST API with `*​/*` as binary media type: names keep their case, the query is decoded, bodies are base64. */
export function restApiEvent(request: Sent): EventV1 {
  const [path = '', query = ''] = splitUrl(request.url);
  const multiValueHeaders = grouped(request, (name) => name);
  const parameters = new URLSearchParams(query);
  const names = [...new Set(parameters.keys())];
  return {
    httpMethod: request.method,
    path,
    headers: Object.fromEntries(Object.entries(multiValueHeaders).map(([name, values]) => [name, values.at(-1)])),
    multiValueHeaders,
    multiValueQueryStringParameters:
      names.length === 0 ? null : Object.fromEntries(names.map((name) => [name, parameters.getAll(name)])),
    body: request.body === undefined ? null : Buffer.from(request.body).toString('base64'),
    isBase64Encoded: request.body !== undefined,
    requestContext: { requestId: 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef', identity: { sourceIp: SOURCE_IP } },
  };
}

function splitUrl(url: string): [path: string, query: string] {
  const at = url.indexOf('?');
  return at === -1 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
}

function grouped(request: Sent, key: (name: string) => string): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [name, value] of headersOf(request)) found[key(name)] = [...(found[key(name)] ?? []), value];
  return found;
}

function bodyOf(request: Sent): Pick<EventV2, 'body' | 'isBase64Encoded'> {
  if (request.body === undefined) return { isBase64Encoded: false };
  const [, type = ''] = headersOf(request).find(([name]) => name.toLowerCase() === 'content-type') ?? [];
  const isText = TEXT.test(type);
  return { body: Buffer.from(request.body).toString(isText ? 'utf8' : 'base64'), isBase64Encoded: !isText };
}
