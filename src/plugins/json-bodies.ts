import type { Fault } from '../errors/problem.ts';
import { invalid, pointerTo } from '../schemas/faults.ts';
import type { App } from './app.ts';

/** Takes JSON bodies only, and an empty one as none: clients send `Content-Type` with bodies that they do not have. */
export function installJsonBodies(app: App): void {
  app.removeAllContentTypeParsers();
  addJsonParser(app, 'application/json');
}

/** Lets the routes of `app` take JSON under another media type too. */
export function addJsonParser(app: App, mediaType: string): void {
  // Names that mean something to JavaScript mean nothing to MQTT: `refusalOfPrototypes` has those that are nobody's data.
  const parse = app.getDefaultJsonParser('ignore', 'ignore');
  app.addContentTypeParser(mediaType, { parseAs: 'string' }, (request, body, done) => {
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    const text = body.toString();
    parse(request, text, (error, value) => done(error ?? refusalOfPrototypes(text, value), value));
  });
}

/** Members whose insides are the caller's own: every name may be there. */
const FREE_MEMBERS: ReadonlySet<string> = new Set(['payload', 'userProperties']);
/** `__proto__` in JSON, be it that some of it is escaped. */
const MAYBE_PROTOTYPE = /__proto__|\\u00/;

/** zod passes over members named `__proto__` in silence; all others that it does not know are faults. */
function refusalOfPrototypes(text: string, value: unknown): Error | null {
  if (!MAYBE_PROTOTYPE.test(text)) return null;
  const faults = prototypesIn(value, '');
  return faults.length === 0 ? null : invalid(faults);
}

function prototypesIn(value: unknown, pointer: string): Fault[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const at = pointer + pointerTo(name);
    if (name === '__proto__') return [{ pointer: at, detail: `There is no member "${name}" here.` }];
    return FREE_MEMBERS.has(name) ? [] : prototypesIn(member, at);
  });
}
