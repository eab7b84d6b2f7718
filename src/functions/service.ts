import { pino } from 'pino';
import type { App } from '../app.ts';
import { Problem } from '../errors/problem.ts';
import { type GetInstance, lazyInstance } from './instance.ts';
import { Invocations } from './invocations.ts';

/** What the adapters of all platforms stand on. */
export interface Service {
  readonly instance: GetInstance;
  readonly invocations: Invocations;
  readonly log: { error(details: object, text: string): void };
}

/** The service of this process, which begins to make its instance at once: whatever invocation comes waits for that. */
export function createService(variables: Readonly<Record<string, string | undefined>>): Service {
  const invocations = new Invocations();
  const instance = lazyInstance(variables, invocations);
  // What fails now fails again for the first invocation.
  instance().catch(() => undefined);
  return { instance, invocations, log: pino() };
}

/**
 * Has `respond` answer a request of this method before the platform ends the invocation, in `remainingMs`. What keeps it
 * from answering is answered too, by `refuse`: without that the caller would get the platform's own error.
 */
export async function serve<Result>(
  { instance, invocations, log }: Service,
  method: string,
  remainingMs: number,
  respond: (app: App) => Promise<Result>,
  refuse: (problem: Problem) => Result,
): Promise<Result> {
  try {
    return await invocations.run(method, remainingMs, async () => respond((await instance()).app));
  } catch (error) {
    if (error instanceof Problem) return refuse(error);
    log.error({ err: error }, 'a request could not be answered');
    return refuse(new Problem('internal', { cause: error }));
  }
}
