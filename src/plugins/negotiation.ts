import { Problem } from '../errors/problem.ts';
import type { App } from './app.ts';

const JSON_ONLY = ['application/json'];

/** Refuses a request whose `Accept` rules out all that its route can answer. [RFC 9110 §12.5.1] */
export function installNegotiation(app: App): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { accept } = request.headers;
    const { produces = JSON_ONLY } = request.routeOptions.config;
    // What nearly all callers send is let through without looking closer.
    if (accept === undefined || accept === '*/*' || produces === null || accepts(accept, produces)) return done();
    done(new Problem('not-acceptable', { detail: `This resource is available as ${produces.join(', ')}.` }));
  });
}

/** Whether an `Accept` header leaves one of the media types; the most specific range decides about each. */
export function accepts(accept: string, types: readonly string[]): boolean {
  const ranges = accept.split(',').map(parseRange);
  return types.some((type) => {
    const [main = ''] = type.split('/');
    for (const wanted of [type, `${main}/*`, '*/*']) {
      const range = ranges.find(({ name }) => name === wanted);
      if (range !== undefined) return range.quality > 0;
    }
    return false;
  });
}

function parseRange(text: string): { name: string; quality: number } {
  const [name = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  return { name, quality: weight === undefined ? 1 : Number(weight) || 0 };
}
