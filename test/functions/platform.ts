import type { Service } from '../../src/functions/service.ts';

/** A request as its caller sends it. */
export interface Sent {
  readonly method: string;
  /** Path and query, exactly so. */
  readonly url: string;
  /** A name may repeat. `Host` is the API's own when it is not said. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Buffer | string;
}

/** An answer as its caller gets it. */
export interface Received {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** One way to invoke a function over HTTP, and what it does to requests on their way. */
export interface Platform {
  readonly name: string;
  /** It decodes `%2F` in the path before the function sees it. */
  readonly decodesSlashes?: boolean;
  /** It reads `+` in a query as a space, wherever it stands. */
  readonly readsPlusAsSpace?: boolean;
  /** It parses JSON itself, and refuses what is none. */
  readonly parsesJson?: boolean;
  /** Answers arrive as they are written. */
  readonly streams?: boolean;
  /** Serves the app over the platform's adapter; the platform ends each invocation after so many milliseconds. */
  serve(service: Service, timeoutMs: number): Promise<Endpoint>;
}

export interface Endpoint {
  send(request: Sent): Promise<Received>;
  close(): Promise<void>;
}

export const HOST = 'localhost:8080';

/** The headers of a request, `Host` among them. */
export function headersOf({ headers = [] }: Sent): (readonly [string, string])[] {
  return headers.some(([name]) => name.toLowerCase() === 'host') ? [...headers] : [['Host', HOST], ...headers];
}
