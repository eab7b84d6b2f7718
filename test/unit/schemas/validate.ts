import { type Fault, Problem } from '../../../src/errors/problem.ts';
import { type ConnectionContext, validateConnection } from '../../../src/schemas/connection-rules.ts';

/** A deployment with one profile that lets callers name any broker. */
export const open: ConnectionContext = {
  brokers: new Set(['default']),
  urlAllowed: () => null,
  plaintextBrokers: new Set(),
  requireTls: false,
  allowInsecureTls: false,
  defaultHold: 'always',
  quicAvailable: false,
  maxPayload: 1_048_576,
};

export function validate(document: unknown, context: Partial<ConnectionContext> = {}) {
  return validateConnection(document, { ...open, ...context });
}

/** The faults of a document; none when it is valid. */
export function faultsOf(document: unknown, context: Partial<ConnectionContext> = {}): Fault[] {
  return faultsThrown(() => validate(document, context));
}

/** The faults that a validation throws; none when it passes. */
export function faultsThrown(run: () => unknown): Fault[] {
  try {
    run();
    return [];
  } catch (error) {
    if (error instanceof Problem && error.type === 'invalid-request') return error.details.errors ?? [];
    throw error;
  }
}
