import type { App } from './app.ts';

/** Has callers leave a process that is about to stop: it keeps no connection for their next request. */
export function installLeaving(app: App, isLeaving: () => boolean): void {
  app.addHook('onSend', async (_request, reply) => {
    if (isLeaving()) reply.header('connection', 'close');
  });
}
