import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { ProblemName } from '../errors/catalogue.ts';
import { PROBLEM_JSON, Problem } from '../errors/problem.ts';
import type { App } from './app.ts';
import { validationProblem } from './validation.ts';

/** Seconds after which a caller may try again when the problem itself does not say. */
const RETRY_AFTER = 1;

/** Fastify's own errors by their code: the problem, and what to say. */
const FRAMEWORK: Readonly<Record<string, { name: ProblemName; detail: string }>> = {
  FST_ERR_BAD_URL: { name: 'invalid-request', detail: 'The path has broken percent-encoding.' },
  FST_ERR_CTP_BODY_TOO_LARGE: { name: 'payload-too-large', detail: 'The body is larger than this resource takes.' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { name: 'invalid-request', detail: 'Content-Length is not the body’s length.' },
  FST_ERR_CTP_INVALID_JSON_BODY: { name: 'invalid-request', detail: 'The body is not JSON.' },
};

/** Answers every error as problem+json; what is unexpected is logged in full and answered without its insides. */
export function installErrors(app: App): void {
  app.setErrorHandler<FastifyError>(answerError);
  app.setNotFoundHandler((request) => {
    throw new Problem('not-found', { detail: `Nothing is at ${request.url.split('?', 1)[0]}.` });
  });
}

/** Also for errors before routing, which Fastify hands to `frameworkErrors`. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const problem = toProblem(error, request);
  if (problem.type === 'internal') request.log.error({ err: error, request: request.id }, 'unexpected error');
  const { retryAfter } = problem.details;
  if (retryAfter !== undefined || problem.status === 503 || problem.status === 429) {
    reply.header('retry-after', retryAfter ?? RETRY_AFTER);
  }
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
  reply.code(problem.status).header('x-request-id', request.id).type(PROBLEM_JSON).send(problem.toJSON());
}

function toProblem(error: FastifyError, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error;
  const invalid = validationProblem(error, request);
  if (invalid !== null) return invalid;
  const known = FRAMEWORK[error.code];
  if (known !== undefined) return new Problem(known.name, { detail: known.detail });
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    const given = request.headers['content-type'] ?? 'a body without Content-Type';
    return new Problem('unsupported-media-type', { detail: `Send application/json, not ${given}.` });
  }
  // The JSON parser's errors have a status, but no code of Fastify's.
  if (error instanceof SyntaxError) return new Problem('invalid-request', { detail: 'The body is not JSON.' });
  // The only recursion that a caller decides about is the depth of a body.
  if (error instanceof RangeError) return new Problem('invalid-request', { detail: 'The body is nested too deeply.' });
  return new Problem('internal', { cause: error });
}

const CLIENT_ERRORS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Answers what is not HTTP at all, too long or too slow: there is no request to answer through yet. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = CLIENT_ERRORS[error.code ?? ''] ?? 400;
  const title = STATUS_CODES[status] ?? '';
  const body = JSON.stringify({ type: 'about:blank', title, status });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: ${PROBLEM_JSON}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
