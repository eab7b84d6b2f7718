import type { Call } from '../call.ts';

interface Common {
  readonly headers?: Readonly<Record<string, string | undefined>> | null;
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
}

/** Payload format 2.0: an HTTP API, or a function URL. */
export interface EventV2 extends Common {
  readonly version: '2.0';
  readonly rawPath: string;
  readonly rawQueryString: string;
  /** The `Cookie` header, in parts; it is not among the headers. */
  readonly cookies?: readonly string[];
  readonly requestContext: {
    readonly stage: string;
    readonly domainName: string;
    readonly requestId: string;
    readonly http: { readonly method: string; readonly sourceIp: string };
  };
}

/** Payload format 1.0: a REST API with proxy integration. */
export interface EventV1 extends Common {
  readonly version?: '1.0';
  readonly httpMethod: string;
  readonly path: string;
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null;
  readonly multiValueQueryStringParameters?: Readonly<Record<string, readonly string[] | undefined>> | null;
  readonly requestContext: {
    readonly requestId: string;
    readonly identity: { readonly sourceIp: string };
  };
}

export type HttpEvent = EventV2 | EventV1;

/** The part of Lambda's context that is used. */
export interface Context {
  getRemainingTimeInMillis(): number;
}

/** What cannot stand for itself in the path of a URL. */
const NOT_IN_PATHS = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]+/g;

/** The request that an event stands for. Throws a `TypeError` for events of other sources. */
export function toCall(event: HttpEvent): Call & { readonly body: Buffer | null } {
  const body =
    typeof event.body === 'string' ? Buffer.from(event.body, event.isBase64Encoded ? 'base64' : 'utf8') : null;
  if ('rawPath' in event) {
    const { method } = event.requestContext.http;
    const query = event.rawQueryString === '' ? '' : `?${event.rawQueryString}`;
    return { method, url: `${pathOf(event)}${query}`, headers: headersOfV2(event), body };
  }
  if (!('identity' in event.requestContext)) {
    throw new TypeError('The event is neither of an HTTP API, a function URL nor a REST API');
  }
  return { method: event.httpMethod, url: `${event.path}${queryOfV1(event)}`, headers: headersOfV1(event), body };
}

/**
 * Function URLs hand the path over as it was sent; an HTTP API decodes it first, so that a slash that was `%2F` cannot be
 * told from others any more, and puts the stage in front unless it is `$default`.
 */
function pathOf({ rawPath, requestContext: { domainName, stage } }: EventV2): string {
  const prefix = `/${stage}`;
  const path = rawPath.startsWith(`${prefix}/`) ? rawPath.slice(prefix.length) : rawPath;
  return isDecoded(domainName) ? path.replace(NOT_IN_PATHS, encodeURIComponent) : path;
}

/** serverless-offline, which stands in for an HTTP API, does not decode. */
function isDecoded(domainName: string): boolean {
  return !domainName.includes('.lambda-url.') && !domainName.startsWith('offlineContext_');
}

/** A REST API decodes names and values. Those that repeat are in their order; across names the order is lost. */
function queryOfV1({ multiValueQueryStringParameters: parameters }: EventV1): string {
  const pairs = Object.entries(parameters ?? {}).flatMap(([name, values = []]) =>
    values.map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

function headersOfV2({ headers, cookies }: EventV2): Record<string, string> {
  const found = Object.fromEntries(
    Object.entries(headers ?? {}).flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), value]],
    ),
  );
  return cookies === undefined || cookies.length === 0 ? found : { ...found, cookie: cookies.join('; ') };
}

/** A REST API tells apart names that differ in case only. */
function headersOfV1({ headers, multiValueHeaders }: EventV1): Record<string, string | string[]> {
  const single = Object.entries(headers ?? {}).map(
    ([name, value]) => [name, value === undefined ? [] : [value]] as const,
  );
  const found = new Map<string, string[]>();
  for (const [name, values = []] of multiValueHeaders == null ? single : Object.entries(multiValueHeaders)) {
    found.set(name.toLowerCase(), [...(found.get(name.toLowerCase()) ?? []), ...values]);
  }
  return Object.fromEntries(
    [...found].flatMap(([name, values]) =>
      values.length === 0 ? [] : [[name, values.length === 1 ? (values[0] ?? '') : values]],
    ),
  );
}
