import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Problem } from '../errors/problem.ts';

/** Milliseconds before the platform ends an invocation: when what waits is told, and when it is answered for it. */
const TELL = 1_500;
const ANSWER = 500;

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * The invocations that a process serves, and when the platform ends each. A caller whose function is ended gets the
 * platform's own error, which says nothing; so every request is answered before.
 */
export class Invocations {
  readonly #current = new AsyncLocalStorage<AbortSignal>();

  /** Aborted, with a `Problem`, shortly before the invocation ends to which the running code belongs; null outside of any. */
  ending(): AbortSignal | null {
    return this.#current.getStore() ?? null;
  }

  /**
   * Runs what answers a request of this method, in an invocation that ends in `remainingMs`. Rejects with a problem when
   * the end has come too close; what still runs then is nobody's any more.
   */
  async run<Result>(method: string, remainingMs: number, respond: () => Promise<Result>): Promise<Result> {
    const ending = new AbortController();
    const answered = new AbortController();
    const telling = setTimeout(() => ending.abort(lateProblem(method)), Math.max(0, remainingMs - TELL));
    const late = pause(Math.max(0, remainingMs - ANSWER), null, { signal: answered.signal }).then(() => {
      throw lateProblem(method);
    });
    try {
      return await Promise.race([this.#current.run(ending.signal, respond), late]);
    } finally {
      clearTimeout(telling);
      answered.abort();
      late.catch(() => undefined);
    }
  }
}

function lateProblem(method: string): Problem {
  return SAFE_METHODS.has(method)
    ? new Problem('no-answer', { detail: 'The time of this function was over first.' })
    : new Problem('outcome-unknown', {
        detail: 'The time of this function was over first; whether the request was carried out is not known.',
      });
}
