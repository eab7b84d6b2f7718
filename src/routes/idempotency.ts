import type { FastifyRequest } from 'fastify';
import { Problem } from '../errors/problem.ts';

/**
 * Refuses `Idempotency-Key`, which this version cannot honour: a caller who sends one relies on it, and would get
 * duplicates without a word.
 */
export function refuseIdempotencyKey(
  request: FastifyRequest,
  _reply: unknown,
  done: (problem?: Problem) => void,
): void {
  const given = request.headers['idempotency-key'] !== undefined;
  done(
    given
      ? new Problem('not-available-here', { detail: 'Idempotency-Key is not available in this version.' })
      : undefined,
  );
}
