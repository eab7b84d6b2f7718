import type { App } from './app.ts';

/** Has requests wait until the bridge is ready, except those to routes that need no bridge. */
export function installReadiness(app: App, ready: () => Promise<void>): void {
  app.addHook('onRequest', async (request) => {
    if (!request.routeOptions.config.alone) await ready();
  });
}
