import { z } from 'zod';
import { PROBLEMS, type ProblemName } from '../errors/catalogue.ts';
import type { DeclaredResponse, ResponseHeader } from '../plugins/declared-response.ts';
import { problem } from '../schemas/common.ts';

/** What every operation of the API can answer: auth, negotiation, and what can fail anywhere. */
const EVERYWHERE: readonly ProblemName[] = [
  'invalid-request',
  'unauthorized',
  'forbidden',
  'not-acceptable',
  'internal',
  'store-unavailable',
  'shutting-down',
];

/** What an operation on a Connection can answer besides: the owner may be another instance. */
export const ON_CONNECTION: readonly ProblemName[] = ['connection-not-found', 'not-owner', 'overloaded'];

/** What reading a JSON body can answer besides. */
export const WITH_BODY: readonly ProblemName[] = ['payload-too-large', 'unsupported-media-type'];

/** What can go wrong between the bridge and a broker. */
export const AT_BROKER: readonly ProblemName[] = [
  'broker-refused',
  'broker-unreachable',
  'tls-failed',
  'no-answer',
  'not-available-here',
];

/** A JSON answer. */
export function json(description: string, schema: z.ZodType, headers?: Record<string, string>): DeclaredResponse {
  return { description, content: { 'application/json': { schema } }, ...declareHeaders(headers) };
}

/** An answer of any media type and any bytes. */
export function bytes(description: string, headers?: Record<string, string>): DeclaredResponse {
  return {
    description,
    content: { '*/*': { schema: z.any().describe('The payload, byte by byte.') } },
    ...declareHeaders(headers),
  };
}

/** An answer without a body. */
export function empty(description: string, headers?: Record<string, string>): DeclaredResponse {
  return { description, ...declareHeaders(headers) };
}

/** All responses of an operation: those of success, and one for each status of the problems named. */
export function responses(
  successes: Record<number, DeclaredResponse>,
  ...problems: readonly ProblemName[]
): Record<number, DeclaredResponse> {
  return { ...problemResponses(new Set([...EVERYWHERE, ...problems])), ...successes };
}

/** The responses that an operation has only for these problems. */
export function problemResponses(names: Iterable<ProblemName>): Record<number, DeclaredResponse> {
  const declared: Record<number, DeclaredResponse> = {};
  for (const name of names) {
    const { status, title } = PROBLEMS[name];
    const examples = declared[status]?.content?.['application/problem+json']?.examples ?? {};
    examples[name] = { value: { type: `/problems/${name}`, title, status } };
    const description = Object.keys(examples)
      .map((known) => `\`${known}\``)
      .join(', ');
    declared[status] = { description, content: { 'application/problem+json': { schema: problem, examples } } };
  }
  return declared;
}

function declareHeaders(headers: Record<string, string> | undefined): { headers?: Record<string, ResponseHeader> } {
  if (headers === undefined) return {};
  return {
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, description]) => [name, { type: 'string', description }]),
    ),
  };
}
