import { createKeyCheck } from '../auth/api-key.ts';
import { siteFault } from '../auth/same-site.ts';
import { Problem } from '../errors/problem.ts';
import type { App } from './app.ts';

export interface AuthOptions {
  /** The one caller's key; null: nobody authenticates, and only this machine's own requests are answered. */
  readonly apiKey: string | null;
  readonly listen: { readonly host: string; readonly port: number };
}

/** Lets a request through to any route but the open ones only with the key, or, without callers, from this site. */
export function installAuth(app: App, { apiKey, listen }: AuthOptions): void {
  if (apiKey === null) {
    app.addHook('onRequest', (request, _reply, done) => {
      const { host, origin } = request.headers;
      const port = request.socket.localPort ?? listen.port;
      const fault = request.routeOptions.config.open ? null : siteFault({ host, origin, port }, listen.host);
      done(fault === null ? undefined : new Problem('forbidden', { detail: fault }));
    });
    return;
  }
  const isKey = createKeyCheck(apiKey);
  app.addHook('onRequest', (request, _reply, done) => {
    const passes = request.routeOptions.config.open || isKey(request.headers.authorization);
    done(
      passes ? undefined : new Problem('unauthorized', { detail: 'Send the key as "Authorization: Bearer <key>".' }),
    );
  });
}
