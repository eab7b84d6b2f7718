import type { App } from './app.ts';

/** Tells every request what will end it from outside, as `request.ending`; nothing does when not said. */
export function installEnding(app: App, ending: () => AbortSignal | null = () => null): void {
  const never = new AbortController().signal;
  app.decorateRequest('ending');
  // At once: behind a body, what runs does not belong to the caller's asynchronous context any more.
  app.addHook('onRequest', (request, _reply, done) => {
    request.ending = ending() ?? never;
    done();
  });
}
