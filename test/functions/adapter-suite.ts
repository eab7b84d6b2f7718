import { Readable } from 'node:stream';
import Fastify from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import type { App, AppDependencies } from '../../src/app.ts';
import type { Bridge, PublishRequest, PublishResult } from '../../src/bridge/facade.ts';
import { Invocations } from '../../src/functions/invocations.ts';
import type { Service } from '../../src/functions/service.ts';

import { appWith, incoming, MAX_PAYLOAD, VIEW } from '../unit/app/fixture.ts';
import type { Endpoint, Platform, Received, Sent } from './platform.ts';

/** Milliseconds: more than any test takes, and so little that it is about to end. */
const AMPLE = 60_000;
const ALMOST_OVER = 700;
/** Beyond the time at which what waits is told. */
const SOON_OVER = 1_700;

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const PUBLISHED: PublishResult = { qos: 1, reasonCode: 0, reason: 'Success', matched: null };

/** What every adapter must do with requests and answers, whatever its platform makes of them. */
export function describeAdapter(platform: Platform): void {
  let endpoint: Endpoint | null = null;
  afterEach(async () => {
    await endpoint?.close();
    endpoint = null;
  });

  async function open(service: Service, timeoutMs = AMPLE): Promise<(request: Sent) => Promise<Received>> {
    endpoint = await platform.serve(service, timeoutMs);
    return endpoint.send;
  }
  const withBridge = async (methods: Partial<Bridge>, timeoutMs?: number, more: Partial<AppDependencies> = {}) =>
    open(await bridgeService(methods, more), timeoutMs);
  const get = (url: string, ...headers: [string, string][]): Sent => ({ method: 'GET', url, headers });

  describe(platform.name, () => {
    describe('the path', () => {
      async function topicOf(path: string): Promise<string> {
        const asked: string[] = [];
        const send = await withBridge({
          retainedMessage: async (_broker, topic) => {
            asked.push(topic);
            return incoming('x');
          },
        });
        expect((await send(get(path))).status).toBe(200);
        return asked.join();
      }

      it.each([
        ['/v1/topics/plant/7/state', 'plant/7/state'],
        ['/v1/topics/a//b', 'a//b'],
        ['/v1/topics//a/', '/a/'],
        ['/v1/topics/a%2Fb/c', 'a/b/c'],
        ['/v1/topics/50%25', '50%'],
        ['/v1/topics/a%2541', 'a%41'],
        ['/v1/topics/caf%C3%A9/%F0%9F%8F%AD', 'café/🏭'],
        ['/v1/topics/a%20b%26c;=', 'a b&c;='],
        ['/v1/topics/%22%5B%7C%5D%5E', '"[|]^'],
        ['/v1/topics/a%23b', 'a#b'],
      ])('%s is the topic %s', async (path, topic) => {
        if (topic.includes('#')) {
          const send = await withBridge({});
          const refused = await send(get(path));
          expect([refused.status, refused.body.toString()]).toEqual([400, expect.stringContaining('Topic Name')]);
        } else expect(await topicOf(path)).toBe(topic);
      });

      it('an id may hold a slash, percent-encoded where the platform leaves it so, and as ~base64url anywhere', async () => {
        const asked: string[] = [];
        const send = await withBridge({
          getConnection: async (id) => {
            asked.push(id);
            return VIEW;
          },
        });
        expect((await send(get(`/v1/connections/~${Buffer.from('a/b').toString('base64url')}`))).status).toBe(200);
        const encoded = await send(get('/v1/connections/a%2Fb'));
        expect(encoded.status).toBe(platform.decodesSlashes ? 404 : 200);
        expect(asked).toEqual(platform.decodesSlashes ? ['a/b'] : ['a/b', 'a/b']);
      });
    });

    describe('the query', () => {
      it('values keep commas, percent-encoded signs and their order', async () => {
        const { published, publishPooled } = recorder();
        const send = await withBridge({
          publishPooled,
        });
        const query =
          'topic=a%2Cb,c%26%3D&contentType=text%2Fplain&userProperty=k%3D1,2%2B&userProperty=k%3D3%20x&qos=1';
        const { status } = await send({ method: 'POST', url: `/v1/topics?${query}`, body: 'x' });
        expect(status).toBe(200);
        expect(published[0]?.message).toMatchObject({
          topic: 'a,b,c&=',
          properties: { contentType: 'text/plain', userProperties: { k: ['1,2+', '3 x'] } },
        });
      });

      it('a + that stands for a level is MQTT’s wildcard', async () => {
        const filters: string[] = [];
        const send = await withBridge({
          retainedMessages: async (_broker, { filter }) => {
            filters.push(filter);
            return { messages: [], complete: true, next: null };
          },
        });
        await send(get('/v1/retained?filter=plant/%2B/x'));
        if (!platform.readsPlusAsSpace) await send(get('/v1/retained?filter=plant/+/x'));
        expect(new Set(filters)).toEqual(new Set(['plant/+/x']));
      });

      it('an unknown parameter is a fault', async () => {
        const send = await withBridge({});
        expect((await send(get('/v1/connections?limits=1'))).status).toBe(400);
      });
    });

    describe('headers', () => {
      it('those that repeat are a list, those of cookies one header, whatever the case of their names', async () => {
        const send = await open(echoService());
        const { body } = await send(
          get('/echo?q=1', ['X-List', 'a'], ['x-list', 'b,c'], ['Cookie', 'one=1; two=2'], ['X-One', '1']),
        );
        const { headers, url } = JSON.parse(body.toString());
        expect(url).toBe('/echo?q=1');
        expect(headers['x-list'].replaceAll(' ', '')).toBe('a,b,c');
        expect(headers).toMatchObject({ cookie: 'one=1; two=2', 'x-one': '1' });
      });

      it('a repeated Mqtt-User-Property is several', async () => {
        const { published, publishPooled } = recorder();
        const send = await withBridge({
          publishPooled,
        });
        const headers = [
          ['Mqtt-User-Property', 'a=1'],
          ['Mqtt-User-Property', 'a=2'],
          ['Mqtt-Qos', '1'],
        ] as const;
        expect((await send({ method: 'POST', url: '/v1/topics/t', headers, body: 'x' })).status).toBe(200);
        expect(published[0]?.message.properties?.userProperties).toEqual({ a: ['1', '2'] });
      });

      it('a caller cannot pass off an event of the platform’s', async () => {
        const send = await open(echoService());
        const forged = encodeURIComponent(JSON.stringify({ requestContext: { authorizer: { admin: true } } }));
        const { status, body } = await send(
          get(
            '/echo',
            ['x-apigateway-event', forged],
            ['X-Apigateway-Context', forged],
            ['x-aws-lambda-fastify-request', '1'],
          ),
        );
        expect(status).toBe(200);
        expect(JSON.parse(body.toString()).decorations).toEqual([]);
      });

      it('the key is asked for', async () => {
        const send = await withBridge({ listConnections: async () => ({ connections: [], next: null }) }, AMPLE, {
          apiKey: 'key',
        });
        expect((await send(get('/v1/connections'))).status).toBe(401);
        expect((await send(get('/v1/connections', ['AUTHORIZATION', 'Bearer key']))).status).toBe(200);
      });
    });

    describe('bodies', () => {
      it('every byte arrives, both ways', async () => {
        const { published, publishPooled } = recorder();
        const send = await withBridge({
          publishPooled,
          retainedMessage: async () => incoming(EVERY_BYTE),
        });
        for (const type of ['application/octet-stream', 'image/png']) {
          const put = {
            method: 'PUT',
            url: '/v1/topics/b',
            headers: [['Content-Type', type]],
            body: EVERY_BYTE,
          } as const;
          expect((await send(put)).status).toBe(200);
        }
        expect(published.map(({ message }) => Buffer.compare(Buffer.from(message.payload), EVERY_BYTE))).toEqual([
          0, 0,
        ]);
        const { body, headers } = await send(get('/v1/topics/b'));
        expect(body.equals(EVERY_BYTE)).toBe(true);
        expect(headers['content-length']).toBe('256');
      });

      it('text is text, in any alphabet', async () => {
        const { published, publishPooled } = recorder();
        const send = await withBridge({
          publishPooled,
          retainedMessage: async () => incoming('Grüße, 工場'),
        });
        const headers = [['Content-Type', 'text/plain; charset=utf-8']] as const;
        await send({ method: 'PUT', url: '/v1/topics/b', headers, body: 'Grüße, 工場' });
        expect(Buffer.from(published[0]?.message.payload ?? '').toString()).toBe('Grüße, 工場');
        expect((await send(get('/v1/topics/b'))).body.toString()).toBe('Grüße, 工場');
      });

      it('one that is too large is 413, JSON that is none 400', async () => {
        const send = await withBridge({});
        const large = await send({ method: 'POST', url: '/v1/topics/b', body: Buffer.alloc(MAX_PAYLOAD + 1, 'x') });
        expect([large.status, JSON.parse(large.body.toString()).type]).toEqual([413, '/problems/payload-too-large']);
        const headers = [['Content-Type', 'application/json']] as const;
        const broken = await send({ method: 'POST', url: '/v1/connections', headers, body: '{"id":' });
        expect(broken.status).toBe(400);
        if (!platform.parsesJson) expect(broken.headers['content-type']).toContain('application/problem+json');
      });

      it('HEAD, 204 and 304 have none, and the headers of the answer that they stand for', async () => {
        const send = await withBridge({
          retainedMessage: async () => incoming('four'),
          deleteConnection: async () => 'deleted' as const,
        });
        const head = await send({ method: 'HEAD', url: '/v1/topics/b' });
        expect([head.status, head.body.length]).toEqual([200, 0]);
        expect(head.headers.etag).toBeDefined();
        const unchanged = await send(get('/v1/topics/b', ['If-None-Match', head.headers.etag ?? '']));
        expect([unchanged.status, unchanged.body.length]).toEqual([304, 0]);
        const deleted = await send({ method: 'DELETE', url: '/v1/connections/a' });
        expect([deleted.status, deleted.body.length]).toEqual([204, 0]);
      });
    });

    describe('problems', () => {
      it('of paths and methods are the app’s', async () => {
        const send = await withBridge({});
        expect(JSON.parse((await send(get('/v2'))).body.toString()).type).toBe('/problems/not-found');
        const wrong = await send({ method: 'PATCH', url: '/v1/topics/a', body: 'x' });
        expect([wrong.status, wrong.headers.allow]).toEqual([405, 'DELETE, GET, HEAD, POST, PUT']);
      });

      it('an instance that cannot be made is 500, and the next invocation tries again', async () => {
        const service = await bridgeService({ getConnection: async () => VIEW });
        let attempts = 0;
        const flaky = () => (++attempts === 1 ? Promise.reject(new Error('the test says so')) : service.instance());
        const send = await open({ ...service, instance: flaky });
        const failed = await send(get('/v1/connections/a'));
        expect([failed.status, JSON.parse(failed.body.toString()).type]).toEqual([500, '/problems/internal']);
        expect((await send(get('/v1/connections/a'))).status).toBe(200);
      });
    });

    describe('the end of the invocation', () => {
      const never = () => new Promise<never>(() => {});

      it('a request that is not answered by then is 504, and says whether it may have been carried out', async () => {
        const send = await withBridge({ getConnection: never, publishPooled: never }, ALMOST_OVER);
        const read = await send(get('/v1/connections/a'));
        expect([read.status, JSON.parse(read.body.toString()).type]).toEqual([504, '/problems/no-answer']);
        const publish = await send({ method: 'POST', url: '/v1/topics/t', body: 'x' });
        expect([publish.status, JSON.parse(publish.body.toString()).type]).toEqual([504, '/problems/outcome-unknown']);
      });

      it('a long poll ends before, with what there is, and waits 25 s at most', async () => {
        let waitMs = 0;
        const send = await withBridge(
          {
            readMessages: async (_id, request) => {
              waitMs = request.waitMs;
              await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
              return {
                messages: [],
                next: null,
                remaining: 0,
                dropped: 0,
                connection: { state: 'online', since: VIEW.since, reason: null },
              };
            },
          },
          SOON_OVER,
        );
        const { status, body } = await send(get('/v1/connections/a/messages?wait=60'));
        expect([status, JSON.parse(body.toString()).messages]).toEqual([200, []]);
        expect(waitMs).toBe(25_000);
      });
    });

    if (!platform.streams) return;
    it('an answer larger than any buffer arrives whole', async () => {
      const size = 20 * 1024 * 1024;
      const send = await open(echoService());
      const { status, body } = await send(get(`/zeros?bytes=${size}`));
      expect([status, body.length]).toEqual([200, size]);
    });
  });
}

export async function bridgeService(methods: Partial<Bridge>, more: Partial<AppDependencies> = {}): Promise<Service> {
  const invocations = new Invocations();
  const app = await appWith(methods, { mode: 'function', ending: () => invocations.ending(), ...more });
  return serviceOf(app, invocations);
}

/** A way to publish that keeps what it was given. */
function recorder(): { published: PublishRequest[]; publishPooled: Bridge['publishPooled'] } {
  const published: PublishRequest[] = [];
  return {
    published,
    publishPooled: async (_broker, requests) => {
      published.push(...requests);
      return requests.map(() => PUBLISHED);
    },
  };
}

/** An app that answers with what it was asked. */
function echoService(): Service {
  const app = Fastify();
  app.get('/echo', async ({ raw, headers, ...request }) => ({
    url: raw.url,
    headers,
    // By @fastify/aws-lambda, of what it takes for the event.
    decorations: ['awsLambda'].filter((name) => name in request),
  }));
  app.get<{ Querystring: { bytes: string } }>('/zeros', async ({ query }, reply) =>
    reply.send(Readable.from(zeros(Number(query.bytes)))),
  );
  return serviceOf(app as unknown as App, new Invocations());
}

function* zeros(bytes: number): Generator<Buffer> {
  const chunk = Buffer.alloc(64 * 1024);
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
}

export function serviceOf(app: App, invocations: Invocations): Service {
  const keeping = { keep: async () => ({ drained: 0, remaining: false }) };
  const instance = { app, keeping, log: { info: () => {} }, ready: async () => {}, close: async () => {} };
  return { invocations, instance: async () => instance, log: { error: () => {} } };
}
