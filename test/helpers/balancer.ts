import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, BridgeProcess, RequestOptions } from './bridge-process.ts';

/** Whoever answers requests: one instance, or one of many. */
export type Requester = Pick<BridgeProcess, 'request'>;

/** What the balancer must know of an instance. */
export interface Target extends Requester {
  readonly nodeId: string;
  /** Whether a load balancer would still send it requests: it has not ended, and is not frozen. */
  readonly isUp: boolean;
}

/** Milliseconds that a caller waits at most before it tries again, whatever Retry-After says. */
const LONGEST_WAIT = 5_000;
/** Milliseconds where nothing says how long: another instance is asked. */
const SHORT_WAIT = 100;

export interface Balancer extends Requester {
  /** Whose turn it is; another than `avoided`, where there is one. */
  next(avoided?: Target): Target;
}

/** Sends each request to the next instance that is up: a load balancer. */
export function balance(targets: () => readonly Target[]): Balancer {
  let turn = 0;
  const next = (avoided?: Target) => {
    const allUp = targets().filter(({ isUp }) => isUp);
    const others = allUp.filter((target) => target !== avoided);
    const up = others.length > 0 ? others : allUp;
    turn += 1;
    const target = up[turn % up.length];
    if (target === undefined) throw new Error('no instance is up');
    return target;
  };
  return { next, request: (method, path, options) => next().request(method, path, options) };
}

/** A caller that tries once more where that is safe, at another instance, and what it has seen. */
export interface PatientCaller extends Requester {
  /** Failures that went away with the second try. */
  readonly healed: readonly string[];
  /** Those that did not. */
  readonly unhealed: readonly string[];
  /** Of which the outcome is not known, so that a second try might do it twice: a publish without Idempotency-Key. */
  readonly unknown: readonly string[];
}

/** Waits for as long as Retry-After says between the two tries, at most 5 s. */
export function patientCaller(balancer: Pick<Balancer, 'next'>): PatientCaller {
  const healed: string[] = [];
  const unhealed: string[] = [];
  const unknown: string[] = [];

  async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<Answer<T>> {
    const target = balancer.next();
    const first = await attempt<T>(target, method, path, options);
    if (first.failure === null) return settled(first);
    const what = `${method} ${path}: ${first.failure}`;
    if (!first.repeatable && !isRepeatable(method, options)) {
      unknown.push(what);
      return settled(first);
    }
    await pause(first.wait);
    const second = await attempt<T>(balancer.next(target), method, path, options);
    if (second.failure === null) healed.push(what);
    else unhealed.push(`${what}; then ${second.failure}`);
    return settled(second);
  }
  return { request, healed, unhealed, unknown };
}

interface Attempt<T> {
  readonly answer: Answer<T> | null;
  readonly error: unknown;
  /** Null when it is an answer that a caller can do something with. */
  readonly failure: string | null;
  /** Whether it is certain that nothing was done. */
  readonly repeatable: boolean;
  readonly wait: number;
}

async function attempt<T>(
  requester: Requester,
  method: string,
  path: string,
  options: RequestOptions,
): Promise<Attempt<T>> {
  try {
    const answer = await requester.request<T>(method, path, options);
    const { status, text, headers } = answer;
    const wait = Math.min(Number(headers['retry-after'] ?? 0) * 1_000 || SHORT_WAIT, LONGEST_WAIT);
    const isFailure = status >= 500 || status === 429 || text.includes('/problems/still-running');
    const failure = isFailure ? `${status} ${text}` : null;
    return { answer, error: null, failure, repeatable: !text.includes('/problems/outcome-unknown'), wait };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { answer: null, error, failure: code, repeatable: code === 'ECONNREFUSED', wait: SHORT_WAIT };
  }
}

/** HTTP's idempotent methods, and what the caller has made so with a key. */
function isRepeatable(method: string, { headers = {} }: RequestOptions): boolean {
  return method !== 'POST' || 'idempotency-key' in headers;
}

function settled<T>({ answer, error }: Attempt<T>): Answer<T> {
  if (answer === null) throw error;
  return answer;
}
