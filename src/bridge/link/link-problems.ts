import { Problem, type ProblemDetails } from '../../errors/problem.ts';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { isTransientRefusal, reasonName } from '../../mqtt/reason-codes.ts';
import type { StateReason } from '../../schemas/connection-view.ts';
import { type Key, StaleEpoch, StoreUnavailable } from '../ports.ts';
import { toConnack } from './connack.ts';
import { type LinkEnd, LinkError } from './link-end.ts';

/** CONNACK codes that say "not this protocol version": v5 has its own, older brokers answer with 3.1.1's. */
const WRONG_VERSION: ReadonlySet<number | undefined> = new Set([0x84, 0x01]);

/** The name of the code in a CONNACK or DISCONNECT, and what the broker said beside it. */
function reasonOf(end: LinkEnd, version: ProtocolVersion): ProblemDetails {
  const { kind, reasonCode, reasonString, serverReference, userProperties } = end;
  if (reasonCode === undefined) return {};
  return {
    reasonCode,
    reason: reasonString ?? reasonName(kind === 'refused' ? 'connack' : 'disconnect', reasonCode, version),
    ...(serverReference === undefined ? {} : { serverReference }),
    ...(userProperties === undefined ? {} : { userProperties }),
  };
}

/** The problem that a caller sees when an attempt to attach ended so. */
export function problemOfEnd(end: LinkEnd, version: ProtocolVersion): Problem {
  const reason = reasonOf(end, version);
  switch (end.kind) {
    case 'refused':
      return new Problem('broker-refused', {
        ...reason,
        detail: `The broker refused the connection: ${reason.reason ?? end.detail}`,
        ...(end.connack === undefined ? {} : { connack: toConnack(end.connack, version) }),
      });
    case 'forbidden':
      return new Problem('invalid-request', {
        detail: end.detail,
        errors: [{ pointer: '/url', detail: 'Link-local and metadata addresses are never connected to' }],
      });
    case 'authentication':
      return new Problem('broker-refused', { detail: end.detail });
    case 'tls':
      return new Problem('tls-failed', { detail: end.detail });
    case 'timeout':
      return new Problem('no-answer', { detail: end.detail });
    default:
      return new Problem('broker-unreachable', { ...reason, detail: end.detail });
  }
}

/** The problem for whatever an attempt to attach failed with. */
export function problemOfFailure(error: unknown, version: ProtocolVersion): Problem {
  return error instanceof LinkError ? problemOfEnd(error.end, version) : problemOf(error);
}

/** The problem for whatever the store failed with. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreUnavailable) return storeProblem(error);
  if (error instanceof StaleEpoch) return notOwner();
  return new Problem('internal', { cause: error });
}

export function storeProblem(cause: unknown): Problem {
  return new Problem('store-unavailable', { cause, retryAfter: 2 });
}

export function notOwner(): NotOwner {
  return new NotOwner();
}

export class NotOwner extends Problem {
  /** The lease for which this process stands in line now; null: for none. */
  readonly inLineFor: Key | null;

  constructor(inLineFor: Key | null = null) {
    super('not-owner', { detail: 'Another instance has the lease on this Connection', retryAfter: 5 });
    this.inLineFor = inLineFor;
  }
}

/** The same for the `reason` of a state. */
export function stateReason(problem: Problem): StateReason {
  const { reasonCode, reason, serverReference, userProperties } = problem.details;
  return {
    code: problem.type,
    detail: problem.message,
    ...(reasonCode === undefined ? {} : { reasonCode }),
    ...(reason === undefined ? {} : { reason }),
    ...(serverReference === undefined ? {} : { serverReference }),
    ...(userProperties === undefined ? {} : { userProperties }),
  };
}

/** Whether an attempt to attach failed because the broker does not speak that protocol version. */
export function refusesVersion(error: unknown): boolean {
  return error instanceof LinkError && error.end.kind === 'refused' && WRONG_VERSION.has(error.end.reasonCode);
}

/** Whether a failed attempt is worth another: a refusal that time will not mend is not. */
export function isWorthRetrying(error: unknown, version: ProtocolVersion): boolean {
  if (error instanceof Problem && error.type === 'connection-not-found') return false;
  if (!(error instanceof LinkError)) return true;
  if (error.end.kind !== 'refused') return error.end.kind !== 'forbidden' && error.end.kind !== 'authentication';
  return isTransientRefusal(error.end.reasonCode ?? 0, version);
}
