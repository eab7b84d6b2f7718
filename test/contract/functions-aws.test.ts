import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import type { App } from '../../src/app.ts';
import { bufferedHandler } from '../../src/functions/aws/buffered.ts';
import { type HttpEvent, toCall } from '../../src/functions/aws/events.ts';
import { streamingHandler } from '../../src/functions/aws/streaming.ts';
import { Invocations } from '../../src/functions/invocations.ts';
import { bridgeService, describeAdapter, serviceOf } from '../functions/adapter-suite.ts';
import { functionUrlEvent, httpApiEvent, restApiEvent, SOURCE_IP } from '../functions/aws-events.ts';
import { functionUrl, httpApi, RUNTIME, restApi, streamingUrl } from '../functions/aws-platforms.ts';
import { incoming } from '../unit/app/fixture.ts';

for (const platform of [httpApi, functionUrl, streamingUrl, restApi]) describeAdapter(platform);

const CONTEXT = { getRemainingTimeInMillis: () => 29_000 };

describe('events of AWS', () => {
  it('a stage in front of the path is not part of it', () => {
    const event = httpApiEvent({ method: 'GET', url: '/prod/v1/connections' });
    const staged = { ...event, requestContext: { ...event.requestContext, stage: 'prod' } };
    expect(toCall(staged).url).toBe('/v1/connections');
    expect(toCall(event).url).toBe('/prod/v1/connections');
  });

  it('an HTTP API cuts a path off at a question mark, whatever we do: the topic goes into the query then', () => {
    const url = '/v1/topics/really%3F';
    expect(toCall(httpApiEvent({ method: 'GET', url })).url).toBe('/v1/topics/really');
    expect(toCall(functionUrlEvent({ method: 'GET', url })).url).toBe(url);
    expect(toCall(restApiEvent({ method: 'GET', url })).url).toBe(url);
    const byQuery = '/v1/topics?topic=really%3F';
    expect(toCall(httpApiEvent({ method: 'GET', url: byQuery })).url).toBe(byQuery);
  });

  it('of a REST API without multi-value headers, and of other sources', () => {
    const event = restApiEvent({ method: 'GET', url: '/healthz', headers: [['X-One', '1']] });
    expect(toCall({ ...event, multiValueHeaders: null }).headers).toMatchObject({ 'x-one': '1' });
    const balancer = { ...event, requestContext: { elb: { targetGroupArn: 'arn' } } } as unknown as HttpEvent;
    expect(() => toCall(balancer)).toThrow(TypeError);
  });

  it('the address is the caller’s', async () => {
    const app = Fastify();
    app.get('/', async ({ ip }) => ip);
    const handle = bufferedHandler(serviceOf(app as unknown as App, new Invocations()));
    for (const toEvent of [httpApiEvent, restApiEvent]) {
      const headers = [['X-Forwarded-For', '203.0.113.9']] as const;
      expect((await handle(toEvent({ method: 'GET', url: '/', headers }), CONTEXT)).body).toBe(SOURCE_IP);
    }
  });
});

describe('Lambda’s limit of 6 MB', () => {
  async function answerTo(method: string, payload: Buffer) {
    const service = await bridgeService({ retainedMessage: async () => incoming(payload) });
    return bufferedHandler(service)(httpApiEvent({ method, url: '/v1/topics/t' }), CONTEXT);
  }

  it('what is just below it passes, binary or text', async () => {
    const binary = await answerTo('GET', Buffer.alloc(4_500_000, 0xff));
    expect([binary.statusCode, Buffer.from(binary.body, 'base64').length]).toEqual([200, 4_500_000]);
    expect((await answerTo('GET', Buffer.alloc(5.9 * 1024 * 1024, 'x'))).statusCode).toBe(200);
  });

  it('what is above it is 413, and says what to do', async () => {
    for (const payload of [Buffer.alloc(4.6 * 1024 * 1024, 0xff), Buffer.alloc(6 * 1024 * 1024, 'x')]) {
      const { statusCode, body, headers } = await answerTo('GET', payload);
      expect(statusCode).toBe(413);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(JSON.parse(body)).toMatchObject({
        type: '/problems/payload-too-large',
        detail: expect.stringMatching(/limit/),
      });
    }
    // As JSON each of these takes six bytes.
    expect((await answerTo('GET', Buffer.alloc(1.2 * 1024 * 1024, '\u0001'))).statusCode).toBe(413);
  });
});

describe('response streaming', () => {
  it('the head and what is written first arrive before the rest is there', async () => {
    const source = new PassThrough();
    const app = Fastify();
    app.get('/', (_request, reply) => {
      reply.hijack();
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
      source.pipe(reply.raw);
    });
    const handle = streamingHandler(serviceOf(app as unknown as App, new Invocations()), RUNTIME);
    const stream = new PassThrough({ encoding: 'utf8' });
    const handled = handle(functionUrlEvent({ method: 'GET', url: '/' }), stream, CONTEXT);
    const [head] = await once(stream, 'data');
    expect(head).toMatch(/"statusCode":200.*text\/event-stream/);
    source.write(': open\n\n');
    expect(await once(stream, 'data')).toEqual([': open\n\n']);
    source.end();
    stream.resume();
    await handled;
  });

  it('a body that breaks off ends the answer as broken, not as complete', async () => {
    const app = Fastify();
    app.get('/', async (_request, reply) =>
      reply.send(
        Readable.from(
          (async function* () {
            yield 'some';
            throw new Error('the test says so');
          })(),
        ),
      ),
    );
    const handle = streamingHandler(serviceOf(app as unknown as App, new Invocations()), RUNTIME);
    const stream = new PassThrough();
    stream.resume().on('error', () => {});
    await expect(handle(functionUrlEvent({ method: 'GET', url: '/' }), stream, CONTEXT)).rejects.toThrow();
  });
});
