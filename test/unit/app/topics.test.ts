import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import type { KeptAnswer, KeptRequest, PublishRequest } from '../../../src/bridge/facade.ts';
import { appWith, incoming, LOCAL, MAX_PAYLOAD } from './fixture.ts';

const OUTCOME = { qos: 1, reasonCode: 0, reason: 'Success', matched: null } as const;

async function publishing() {
  const seen: { broker: string; request: PublishRequest }[] = [];
  const app = await appWith({
    publishPooled: async (broker, requests) => {
      for (const request of requests) seen.push({ broker, request });
      return requests.map(({ message }) => ({ ...OUTCOME, qos: message.qos }));
    },
  });
  return { app, seen };
}

describe('topics as resources: publishing', () => {
  test.each([
    ['/v1/topics/a/b', 'a/b'],
    ['/v1/topics/a//b', 'a//b'],
    ['/v1/topics//a', '/a'],
    ['/v1/topics/a/', 'a/'],
    ['/v1/topics//', '/'],
    ['/v1/topics/a%2Fb', 'a/b'],
    ['/v1/topics/%C3%A4/%F0%9F%8C%A1', 'ä/🌡'],
    ['/v1/topics/50%25/x', '50%/x'],
    ['/v1/topics/a%3Fb%23c', null],
    ['/v1/topics/a%252Fb', 'a%2Fb'],
    ['/v1/topics?topic=a//b%2Fc', 'a//b/c'],
    [`/v1/topics/${'x'.repeat(2037)}`, 'x'.repeat(2037)],
  ])('%s', async (url, topic) => {
    const { app, seen } = await publishing();
    const answer = await app.inject({ method: 'POST', url, headers: LOCAL, payload: 'p' });
    if (topic === null) expect(answer.json().errors[0].pointer).toBe('?topic');
    else expect(seen.map(({ request }) => request.message.topic)).toEqual([topic]);
  });

  test('dots are levels like any others, when the client sends them as they are', async () => {
    const { app, seen } = await publishing();
    const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const status = await new Promise((resolve, reject) => {
      const sent = request(
        { host: url.hostname, port: url.port, method: 'POST', path: '/v1/topics/a/../b/./c' },
        (answer) => {
          answer.resume().once('end', () => resolve(answer.statusCode));
        },
      );
      sent.once('error', reject).end('x');
    });
    await app.close();
    expect(status).toBe(202);
    expect(seen.map(({ request: { message } }) => message.topic)).toEqual(['a/../b/./c']);
  });

  test('the body is the payload byte by byte, whatever it says that it is', async () => {
    const { app, seen } = await publishing();
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'image/png']) {
      const payload = Buffer.from([0x7b, 0xff, 0x00]);
      const answer = await app.inject({
        method: 'POST',
        url: '/v1/topics/t',
        headers: { ...LOCAL, 'content-type': type },
        payload,
      });
      expect(answer.statusCode).toBe(202);
      expect(Buffer.from(seen.at(-1)?.request.message.payload ?? [])).toEqual(payload);
    }
    expect(seen.map(({ request }) => request.message.properties?.contentType)).toEqual([
      'application/json',
      'text/plain',
      undefined,
      'image/png',
    ]);
  });

  test('POST publishes, PUT retains, DELETE clears; QoS 1 and 2 answer 200', async () => {
    const { app, seen } = await publishing();
    const status = async (method: 'POST' | 'PUT' | 'DELETE', query: string, payload?: string) =>
      (await app.inject({ method, url: `/v1/topics/t${query}`, headers: LOCAL, ...(payload && { payload }) }))
        .statusCode;
    expect(await status('POST', '', 'x')).toBe(202);
    expect(await status('POST', '?qos=2', 'x')).toBe(200);
    expect(await status('POST', '')).toBe(202);
    expect(await status('PUT', '', 'x')).toBe(200);
    expect(await status('PUT', '?qos=0', 'x')).toBe(202);
    expect(await status('DELETE', '')).toBe(200);
    expect(seen.map(({ request: { message } }) => [message.qos, message.retain, message.payload.length])).toEqual([
      [0, false, 1],
      [2, false, 1],
      [0, false, 0],
      [1, true, 1],
      [0, true, 1],
      [1, true, 0],
    ]);
    expect(await status('PUT', '')).toBe(400);
  });

  test('parameters come from the query or from headers, and the query wins', async () => {
    const { app, seen } = await publishing();
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/topics/t?qos=2&messageExpiryInterval=60&userProperty=a=1&userProperty=a=2&timeout=1.5&broker=other',
      headers: {
        ...LOCAL,
        'mqtt-qos': '1',
        'mqtt-response-topic': 'r/%C3%A4',
        'mqtt-correlation-data': 'AAE=',
        'mqtt-payload-format-indicator': '1',
        'mqtt-content-type': 'text/plain',
      },
      payload: 'ä',
    });
    expect(answer.json()).toEqual({ ...OUTCOME, qos: 2 });
    const [{ broker, request } = { broker: '', request: undefined }] = seen;
    expect(broker).toBe('other');
    expect(request?.timeoutMs).toBe(1500);
    expect(request?.message.properties).toEqual({
      messageExpiryInterval: 60,
      responseTopic: 'r/ä',
      correlationData: Buffer.from([0, 1]),
      payloadFormatIndicator: 1,
      contentType: 'text/plain',
      userProperties: { a: ['1', '2'] },
    });
    await app.inject({
      method: 'POST',
      url: '/v1/topics/t',
      headers: { ...LOCAL, 'mqtt-user-property': 'a%2C=%3D, b=2' },
      payload: 'x',
    });
    expect(seen.at(-1)?.request.message.properties?.userProperties).toEqual({ 'a,': ['='], b: ['2'] });
  });

  test('what is wrong is named by its parameter', async () => {
    const { app } = await publishing();
    const pointers = async (url: string, headers: Record<string, string> = {}) => {
      const answer = await app.inject({
        method: 'POST',
        url,
        headers: { ...LOCAL, ...headers },
        payload: Buffer.from([255]),
      });
      expect(answer.statusCode).toBe(400);
      return answer
        .json()
        .errors.map(({ pointer }: { pointer: string }) => pointer)
        .sort();
    };
    expect(await pointers('/v1/topics/t?qos=3&more=1')).toEqual(['?more', '?qos']);
    expect(await pointers('/v1/topics/a/%23?responseTopic=%2B')).toEqual(['?responseTopic', '?topic']);
    expect(await pointers('/v1/topics/')).toEqual(['?topic']);
    expect(await pointers('/v1/topics')).toEqual(['?topic']);
    expect(await pointers('/v1/topics/t?topic=t')).toEqual(['?topic']);
    expect(await pointers('/v1/topics/t?payloadFormatIndicator=1')).toEqual(['?payloadFormatIndicator']);
    expect(await pointers('/v1/topics/t', { 'mqtt-retain': 'true', 'mqtt-qos': '9' })).toHaveLength(2);
    expect(await pointers('/v1/topics/t?userProperty=novalue')).toEqual(['?userProperty']);
    expect((await app.inject({ method: 'POST', url: '/v1/topics/%zz', headers: LOCAL })).statusCode).toBe(400);
  });

  test('a payload over the limit is 413', async () => {
    const { app } = await publishing();
    const post = async (length: number) =>
      (await app.inject({ method: 'POST', url: '/v1/topics/t', headers: LOCAL, payload: 'x'.repeat(length) }))
        .statusCode;
    expect(await post(MAX_PAYLOAD)).toBe(202);
    expect(await post(MAX_PAYLOAD + 1)).toBe(413);
  });
});

describe('topics as resources: publishes whose outcome is kept', () => {
  async function keeping(answer: KeptAnswer) {
    const seen: { broker: string; request: KeptRequest }[] = [];
    const app = await appWith({
      publishPooledKept: async (broker, request) => {
        seen.push({ broker, request });
        return answer;
      },
    });
    const send = (method: 'POST' | 'PUT' | 'DELETE', url: string, headers: object, payload?: string | Buffer) =>
      app.inject({
        method,
        url,
        headers: { ...LOCAL, 'idempotency-key': 'k', ...headers },
        ...(payload === undefined ? {} : { payload }),
      });
    return { send, seen };
  }

  test.each(['POST', 'PUT', 'DELETE'] as const)(
    '%s with Prefer: respond-async is 202 and says where to ask',
    async (method) => {
      const { send, seen } = await keeping({ replayed: false, publishId: 'p1' });
      const answer = await send(
        method,
        '/v1/topics/t?broker=b',
        { prefer: 'respond-async' },
        method === 'DELETE' ? undefined : 'x',
      );
      expect([answer.statusCode, answer.json()]).toEqual([202, { publishId: 'p1', state: 'pending' }]);
      expect(answer.headers).toMatchObject({ location: '/v1/publishes/p1', 'preference-applied': 'respond-async' });
      expect(seen).toMatchObject([
        {
          broker: 'b',
          request: { respondAsync: true, idempotencyKey: 'k', batch: false, items: [{ timeoutMs: 5_000 }] },
        },
      ]);
    },
  );

  test.each(['POST', 'PUT', 'DELETE'] as const)('%s is replayed with its outcome', async (method) => {
    const { send } = await keeping({ replayed: true, results: [OUTCOME] });
    const answer = await send(method, '/v1/topics/t', {}, method === 'DELETE' ? undefined : 'x');
    expect([answer.statusCode, answer.json()]).toEqual([200, OUTCOME]);
    expect(answer.headers['idempotency-replayed']).toBe('true');
  });

  test('the fingerprint tells apart all that makes it another publish, and nothing else', async () => {
    const { send, seen } = await keeping({ replayed: false, results: [OUTCOME] });
    const fingerprint = async (...args: Parameters<typeof send>) => {
      expect((await send(...args)).statusCode).toBe(200);
      return seen.at(-1)?.request.fingerprint;
    };
    const first = await fingerprint('POST', '/v1/topics/t?qos=1', {}, 'x');
    const same = [
      await fingerprint('POST', '/v1/topics?topic=t&qos=1', {}, 'x'),
      await fingerprint('POST', '/v1/topics/t?timeout=9', { 'mqtt-qos': '1', prefer: 'wait=1' }, 'x'),
    ];
    expect(new Set([first, ...same]).size).toBe(1);
    const others = [
      await fingerprint('POST', '/v1/topics/u?qos=1', {}, 'x'),
      await fingerprint('POST', '/v1/topics/t?qos=2', {}, 'x'),
      await fingerprint('PUT', '/v1/topics/t?qos=1', {}, 'x'),
      await fingerprint('DELETE', '/v1/topics/t?qos=1', {}),
      await fingerprint('POST', '/v1/topics/t?qos=1', {}),
      await fingerprint('POST', '/v1/topics/t?qos=1&broker=b', {}, 'x'),
      await fingerprint('POST', '/v1/topics/t?qos=1&messageExpiryInterval=1', {}, 'x'),
      await fingerprint('POST', '/v1/topics/t?qos=1&userProperty=a=1', {}, 'x'),
      await fingerprint('POST', '/v1/topics/t?qos=1&correlationData=AAE=', {}, 'x'),
      await fingerprint('POST', '/v1/topics/t?qos=1', { 'content-type': 'text/plain' }, 'x'),
      await fingerprint('POST', '/v1/topics/t?qos=1', {}, Buffer.from([0x78, 0xff])),
      await fingerprint('POST', '/v1/topics/t?qos=1', {}, Buffer.from([0x78, 0xfe])),
    ];
    expect(new Set([first, ...others]).size).toBe(others.length + 1);
  });

  test('a malformed key is a fault', async () => {
    const { send, seen } = await keeping({ replayed: false, results: [OUTCOME] });
    const answer = await send('POST', '/v1/topics/t', { 'idempotency-key': 'ü' }, 'x');
    expect([answer.statusCode, answer.json().errors[0].pointer]).toEqual([400, '?idempotency-key']);
    expect(seen).toEqual([]);
  });
});

describe('topics as resources: reading', () => {
  const get = async (message: ReturnType<typeof incoming> | null, headers = {}, method: 'GET' | 'HEAD' = 'GET') => {
    const app = await appWith({ retainedMessage: async () => message });
    return app.inject({ method, url: '/v1/topics/t', headers: { ...LOCAL, ...headers } });
  };

  test('the body is the payload, the media type the message’s', async () => {
    const bytes = Buffer.from([0, 255, 10]);
    const plain = await get(incoming(bytes), { accept: 'image/png' });
    expect(plain.rawPayload).toEqual(bytes);
    expect(plain.headers['content-type']).toBe('application/octet-stream');
    expect((await get(incoming('x', { properties: { payloadFormatIndicator: 1 } }))).headers['content-type']).toBe(
      'text/plain; charset=utf-8',
    );
    const typed = await get(
      incoming('{}', { properties: { contentType: 'application/json', payloadFormatIndicator: 1 } }),
    );
    expect(typed.headers['content-type']).toBe('application/json');
    const odd = await get(incoming('x', { properties: { contentType: 'té\r\nX-Evil: 1' } }));
    expect(odd.headers['content-type']).toBe('application/octet-stream');
    expect(odd.headers['x-evil']).toBeUndefined();
  });

  test('properties are headers', async () => {
    const { headers } = await get(
      incoming('x', {
        qos: 2,
        properties: {
          messageExpiryInterval: 7,
          responseTopic: 'r/ä',
          correlationData: Uint8Array.from([0, 1]),
          userProperties: { 'a b': ['1', '='] },
        },
      }),
    );
    expect(headers).toMatchObject({
      'mqtt-qos': '2',
      'mqtt-retain': 'true',
      'mqtt-message-expiry-interval': '7',
      'mqtt-response-topic': 'r%2F%C3%A4',
      'mqtt-correlation-data': 'AAE=',
      'mqtt-user-property': ['a%20b=1', 'a%20b=%3D'],
    });
  });

  test('the ETag is strong, changes with payload and properties, not with the remaining expiry; a match is 304', async () => {
    const etag = async (...args: Parameters<typeof incoming>) => String((await get(incoming(...args))).headers.etag);
    const first = await etag('x', { properties: { contentType: 'a/b', messageExpiryInterval: 9 } });
    expect(first).toMatch(/^"[\w-]+"$/);
    expect(await etag('x', { properties: { contentType: 'a/b', messageExpiryInterval: 8 } })).toBe(first);
    expect(await etag('y', { properties: { contentType: 'a/b' } })).not.toBe(first);
    expect(await etag('x', { properties: { contentType: 'a/c' } })).not.toBe(first);

    const message = incoming('x', { properties: { contentType: 'a/b' } });
    for (const tags of [first, `"other", W/${first}`, '*']) {
      const same = await get(message, { 'if-none-match': tags });
      expect(same.statusCode).toBe(304);
      expect(same.body).toBe('');
      expect(same.headers.etag).toBe(first);
    }
    expect((await get(message, { 'if-none-match': '"other"' })).statusCode).toBe(200);
  });

  test('HEAD answers the same headers without a body', async () => {
    const head = await get(incoming('four'), {}, 'HEAD');
    expect(head.statusCode).toBe(200);
    expect(head.headers['content-length']).toBe('4');
    expect(head.body).toBe('');
  });

  test('nothing retained is 404, an oversize one 413, a wildcard 400', async () => {
    expect((await get(null)).json()).toMatchObject({ type: '/problems/no-retained-message', status: 404 });
    expect((await get(incoming('', { oversize: 5_000_000 }))).statusCode).toBe(413);
    const app = await appWith({});
    expect((await app.inject({ url: '/v1/topics/a/%2B', headers: LOCAL })).json().errors[0].pointer).toBe('?topic');
  });
});
