import { PassThrough, type Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { bufferedHandler } from '../../src/functions/aws/buffered.ts';
import type { HttpEvent } from '../../src/functions/aws/events.ts';
import { type StreamingRuntime, streamingHandler } from '../../src/functions/aws/streaming.ts';
import { functionUrlEvent, httpApiEvent, restApiEvent } from './aws-events.ts';
import { contextFor, invoke } from './aws-invoke.ts';
import type { Endpoint, Platform, Received, Sent } from './platform.ts';

export const httpApi: Platform = {
  name: 'AWS HTTP API',
  decodesSlashes: true,
  serve: (...args) => buffered(httpApiEvent, ...args),
};

export const functionUrl: Platform = {
  name: 'AWS function URL, buffered',
  serve: (...args) => buffered(functionUrlEvent, ...args),
};

export const restApi: Platform = {
  name: 'AWS REST API',
  readsPlusAsSpace: true,
  serve: (...args) => buffered(restApiEvent, ...args),
};

export const streamingUrl: Platform = {
  name: 'AWS function URL, streaming',
  streams: true,
  async serve(service, timeoutMs) {
    const handle = streamingHandler(service, RUNTIME);
    return {
      async send(request) {
        const stream = new PassThrough();
        const handled = handle(functionUrlEvent(request), stream, contextFor(timeoutMs));
        const [received] = await Promise.all([readStreamed(stream), handled]);
        return received;
      },
      close: async () => {},
    };
  },
};

async function buffered(
  toEvent: (request: Sent) => HttpEvent,
  ...[service, timeoutMs]: Parameters<Platform['serve']>
): Promise<Endpoint> {
  const handle = bufferedHandler(service);
  return { send: (request) => invoke(handle, toEvent(request), timeoutMs), close: async () => {} };
}

/** As in Lambda's runtime: the head goes out as JSON and eight NULs, before the first write and with nothing else. */
const SEPARATOR = Buffer.alloc(8);

export const RUNTIME: StreamingRuntime = {
  streamifyResponse: (handler) => handler,
  HttpResponseStream: {
    from(stream, head) {
      const write = stream.write.bind(stream);
      let headSent = false;
      stream.write = ((...args: Parameters<Writable['write']>) => {
        if (!headSent) write(Buffer.concat([Buffer.from(JSON.stringify(head)), SEPARATOR]));
        headSent = true;
        return write(...args);
      }) as Writable['write'];
      return stream;
    },
  },
};

async function readStreamed(stream: PassThrough): Promise<Received> {
  const bytes = await buffer(stream);
  const at = bytes.indexOf(SEPARATOR);
  if (at === -1) throw new Error('no head was sent');
  const { statusCode, headers } = JSON.parse(bytes.subarray(0, at).toString());
  return { status: statusCode, headers, body: bytes.subarray(at + SEPARATOR.length) };
}
