import { Problem } from '../errors/problem.ts';
import type { App } from './app.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Runs `addRoutes`, then answers 405 with `Allow` to the methods that a path does not know. [RFC 9110 §15.5.6] */
export async function withMethodNotAllowed(app: App, addRoutes: () => void): Promise<void> {
  const known = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = known.get(url) ?? new Set();
    for (const name of Array.isArray(method) ? method : [method]) methods.add(name);
    known.set(url, methods);
  });
  addRoutes();
  // Routes in scopes of their own are added by then.
  await app.after();
  for (const [url, methods] of [...known]) {
    const missing = METHODS.filter((method) => !methods.has(method));
    if (missing.length === 0) continue;
    const allow = [...methods].sort().join(', ');
    app.route({
      method: missing,
      url,
      schema: { hide: true },
      config: { produces: null },
      // Before a body is looked at: what is wrong is the method.
      onRequest: (request, reply, done) => {
        reply.header('allow', allow);
        done(new Problem('method-not-allowed', { detail: `This resource knows ${allow}, not ${request.method}.` }));
      },
      handler: () => {},
    });
  }
}
