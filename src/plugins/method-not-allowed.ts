import { Problem } from '../errors/problem.ts';
import type { App } from './app.ts';

/** Runs `addRoutes`, and answers 405 with `Allow` to the methods that a path does not know. [RFC 9110 §15.5.6] */
export async function withMethodNotAllowed(app: App, addRoutes: () => void): Promise<void> {
  const known = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = known.get(url) ?? new Set();
    for (const name of Array.isArray(method) ? method : [method]) methods.add(name);
    known.set(url, methods);
  });
  // Before a body is looked at: what is wrong is the method.
  app.addHook('onRequest', (request, reply, done) => {
    const methods = request.is404 ? methodsOf(request.url, known) : null;
    if (methods === null) return done();
    const allow = [...methods].sort().join(', ');
    reply.header('allow', allow);
    done(new Problem('method-not-allowed', { detail: `This resource knows ${allow}, not ${request.method}.` }));
  });
  addRoutes();
  // Routes in scopes of their own are added by then.
  await app.after();
}

/** What the first route knows whose pattern the path of a URL has; null when there is none. */
function methodsOf(url: string, known: ReadonlyMap<string, ReadonlySet<string>>): ReadonlySet<string> | null {
  const [path = ''] = url.split('?', 1);
  for (const [pattern, methods] of known) if (hasPattern(path, pattern)) return methods;
  return null;
}

/** A parameter stands for one segment that is not empty, an asterisk at the end for all that is left. */
function hasPattern(path: string, pattern: string): boolean {
  const [segments, parts] = [path.split('/'), pattern.split('/')];
  const isOpen = parts.at(-1) === '*';
  if (isOpen ? segments.length < parts.length : segments.length !== parts.length) return false;
  return parts.every((part, place) => {
    const segment = segments[place] ?? '';
    return (isOpen && place === parts.length - 1) || (part.startsWith(':') ? segment !== '' : segment === part);
  });
}
