/**
 * node lambda-sandbox.ts <folder>: what Lambda runs a bundle in, behind a function URL at HOST and PORT. One invocation at a
 * time, as there: requests wait for those before them.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { functionUrlEvent } from './aws-events.ts';
import { invoke } from './aws-invoke.ts';
import type { Sent } from './platform.ts';

/** Milliseconds, as in serverless.yml. */
const TIMEOUT = 29_000;

const [folder = '.'] = process.argv.slice(2);
const { handler } = createRequire(import.meta.url)(join(folder, 'index.cjs'));

let before: Promise<unknown> = Promise.resolve();
const server = createServer(async (request, response) => {
  const event = functionUrlEvent(await sentBy(request));
  const answering = before.then(() => invoke(handler, event, TIMEOUT));
  before = answering.catch(() => undefined);
  try {
    const { status, headers, body } = await answering;
    response.writeHead(status, headers).end(body);
  } catch (error) {
    process.stderr.write(`${error}\n`);
    // What a function URL answers to an invocation that failed.
    response.writeHead(502).end('Internal Server Error');
  }
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => process.stdout.write('{"msg":"listening"}\n'));

async function sentBy(request: IncomingMessage): Promise<Sent> {
  const { method = 'GET', url = '/', rawHeaders } = request;
  const headers = rawHeaders.flatMap((name, place) =>
    place % 2 === 0 ? [[name, rawHeaders[place + 1] ?? ''] as const] : [],
  );
  const body = await buffer(request);
  return { method, url, headers, ...(body.length === 0 ? {} : { body }) };
}
