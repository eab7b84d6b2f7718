import { Readable } from 'node:stream';
import type { InjectOptions } from 'fastify';
import type { App } from '../app.ts';
import { PROBLEM_JSON, type Problem } from '../errors/problem.ts';

/** A request, from whatever a platform makes of one. */
export interface Call {
  readonly method: string;
  /** Path and query, percent-encoded as the caller sent it, as far as the platform leaves it so. */
  readonly url: string;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer | Readable | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readable;
}

/** They speak of a connection that is not there. [RFC 9110 §7.6.1] */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** Has the app answer; resolves with the head of the answer, whose body follows. `signal`: the caller went away. */
export async function answer(
  app: App,
  { method, url, headers, body }: Call,
  signal: AbortSignal | null = null,
): Promise<Answer> {
  const response = await app.inject({
    // Whatever name it has: a method that a path does not know is the app's to refuse.
    method: method as NonNullable<InjectOptions['method']>,
    url,
    headers: { ...headers },
    payloadAsStream: true,
    ...(body === null ? {} : { payload: body }),
    ...(signal === null ? {} : { signal }),
  });
  return { status: response.statusCode, headers: endToEnd(response.headers), body: response.stream() };
}

/** The headers of an answer that belong to it wherever it goes; one that repeats is a list with commas. */
export function endToEnd(headers: Readonly<Record<string, number | string | string[] | undefined>>): Answer['headers'] {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || CONNECTION_HEADERS.has(name) ? [] : [[name, String(value)]],
    ),
  );
}

/** A problem as the app would answer it, for what is decided around the app. */
export function problemAnswer(problem: Problem): Answer {
  const body = Readable.from([JSON.stringify(problem)]);
  return { status: problem.status, headers: { 'content-type': PROBLEM_JSON }, body };
}
