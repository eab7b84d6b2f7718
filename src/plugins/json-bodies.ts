import type { App } from './app.ts';

/** Takes JSON bodies only, and an empty one as none: clients send `Content-Type` with bodies that they do not have. */
export function installJsonBodies(app: App): void {
  app.removeAllContentTypeParsers();
  addJsonParser(app, 'application/json');
}

/** Lets the routes of `app` take JSON under another media type too. */
export function addJsonParser(app: App, mediaType: string): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser(mediaType, { parseAs: 'string' }, (request, body, done) => {
    if (body.length === 0) done(null, undefined);
    else parse(request, body.toString(), done);
  });
}
