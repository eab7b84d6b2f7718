import { describe, expect, test } from 'vitest';
import type {
  KeptAnswer,
  KeptRequest,
  PublicationView,
  PublishRequest,
  ReadRequest,
} from '../../../src/bridge/facade.ts';
import { Problem } from '../../../src/errors/problem.ts';
import { appWith, incoming, LOCAL, VIEW } from './fixture.ts';

const OUTCOME = { qos: 1, reasonCode: 0, reason: 'Success', matched: null } as const;

describe('connections', () => {
  test('POST: 201 with Location, 200 when it was there already; faults all at once', async () => {
    for (const created of [true, false]) {
      const app = await appWith({ openConnection: async () => ({ created, connection: { ...VIEW, id: 'a/b' } }) });
      const answer = await app.inject({
        method: 'POST',
        url: '/v1/connections',
        headers: LOCAL,
        payload: { id: 'a/b' },
      });
      expect(answer.statusCode).toBe(created ? 201 : 200);
      expect(answer.headers.location).toBe(`/v1/connections/~${Buffer.from('a/b').toString('base64url')}`);
    }
    const app = await appWith({});
    const faulty = { broker: 'default', url: 'mqtt://h', keepAlive: -1, nonsense: 1 };
    const answer = await app.inject({ method: 'POST', url: '/v1/connections', headers: LOCAL, payload: faulty });
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors.length).toBeGreaterThanOrEqual(3);
  });

  test('PUT: the path names it, a document may not contradict', async () => {
    const seen: unknown[] = [];
    const app = await appWith({
      declareConnection: async (id, { parameters }) => {
        seen.push([id, parameters.id, parameters.clientId]);
        return { created: seen.length === 1, connection: VIEW };
      },
    });
    const put = (url: string, payload: object) => app.inject({ method: 'PUT', url, headers: LOCAL, payload });
    const created = await put('/v1/connections/a', {});
    expect([created.statusCode, created.headers.location]).toEqual([201, '/v1/connections/a']);
    expect((await put('/v1/connections/%C3%A4%2Fb', { clientId: 'c' })).statusCode).toBe(200);
    expect((await put(`/v1/connections/~${Buffer.from('../x').toString('base64url')}`, {})).statusCode).toBe(200);
    expect(seen).toEqual([
      ['a', 'a', 'a'],
      ['ä/b', 'ä/b', 'c'],
      ['../x', '../x', '../x'],
    ]);
    expect((await put('/v1/connections/a', { id: 'b' })).json().errors[0].pointer).toBe('/id');
    expect((await put('/v1/connections/~!', {})).statusCode).toBe(400);
  });

  test('PATCH takes merge-patch and plain JSON; other routes do not take merge-patch', async () => {
    const seen: unknown[] = [];
    const app = await appWith({
      patchConnection: async (id, patch) => {
        seen.push([id, patch]);
        return VIEW;
      },
    });
    const send = async (method: 'PATCH' | 'PUT', type: string, payload = '{"keepAlive":5,"will":null}') =>
      (await app.inject({ method, url: '/v1/connections/a', headers: { ...LOCAL, 'content-type': type }, payload }))
        .statusCode;
    expect(await send('PATCH', 'application/merge-patch+json')).toBe(200);
    expect(await send('PATCH', 'application/json')).toBe(200);
    expect(await send('PATCH', 'application/json', '[]')).toBe(400);
    expect(await send('PATCH', 'text/plain')).toBe(415);
    expect(await send('PUT', 'application/merge-patch+json')).toBe(415);
    expect(seen).toEqual([
      ['a', { keepAlive: 5, will: null }],
      ['a', { keepAlive: 5, will: null }],
    ]);
  });

  test('list, read, delete, attach, detach', async () => {
    const seen: unknown[] = [];
    const app = await appWith({
      listConnections: async (request) => {
        seen.push(request);
        return { connections: [VIEW], next: 'a' };
      },
      getConnection: async () => Promise.reject(new Problem('connection-not-found')),
      deleteConnection: async (_id, how) => {
        seen.push(how);
        return how.session === 'keep' ? 'deleted' : 'pending';
      },
      attachConnection: async () => VIEW,
      detachConnection: async (_id, how) => {
        seen.push(how);
        return { ...VIEW, state: 'parked' };
      },
    });
    const call = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
      (await app.inject({ method, url: `/v1/connections${url}`, headers: LOCAL, ...(payload && { payload }) }))
        .statusCode;
    expect(await call('GET', '?state=parked&limit=5&after=a')).toBe(200);
    expect(await call('GET', '')).toBe(200);
    expect(await call('GET', '?limit=1001')).toBe(400);
    expect(await call('GET', '?limit=')).toBe(400);
    expect(await call('GET', '?limit=1&limit=2')).toBe(400);
    expect(await call('GET', '/a')).toBe(404);
    expect(await call('DELETE', '/a')).toBe(202);
    expect(await call('DELETE', '/a?session=keep&will=send')).toBe(204);
    expect(await call('POST', '/a/attach')).toBe(200);
    expect(await call('POST', '/a/attach', { x: 1 })).toBe(400);
    expect(await call('POST', '/a/detach')).toBe(200);
    expect(await call('POST', '/a/detach', { sessionExpiryInterval: 'never', will: 'send' })).toBe(200);
    expect(seen).toEqual([
      { state: 'parked', limit: 5, after: 'a' },
      { state: null, limit: 100, after: null },
      { session: 'discard', will: null },
      { session: 'keep', will: 'send' },
      { sessionExpiryInterval: null, will: null },
      { sessionExpiryInterval: 'never', will: 'send' },
    ]);
  });
});

describe('publish', () => {
  const publishing = async () => {
    const seen: { to: string; requests: readonly PublishRequest[] }[] = [];
    const publish = async (to: string, requests: readonly PublishRequest[]) => {
      seen.push({ to, requests });
      return requests.map(({ message }) =>
        message.topic === 'refused'
          ? new Problem('broker-refused', { detail: 'no', reasonCode: 135, reason: 'Not authorized' })
          : { ...OUTCOME, qos: message.qos },
      );
    };
    const app = await appWith({ publish, publishPooled: publish });
    const post = (url: string, payload: unknown) =>
      app.inject({
        method: 'POST',
        url,
        headers: { ...LOCAL, 'content-type': 'application/json' },
        payload: JSON.stringify(payload),
      });
    return { post, seen };
  };

  test.each([0, 1001])('a batch of %i messages is none', async (length) => {
    const { post, seen } = await publishing();
    const answer = await post(
      '/v1/publish',
      Array.from({ length }, () => ({ topic: 't' })),
    );
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors).toEqual([{ pointer: '', detail: `A batch has 1 to 1000 messages, not ${length}.` }]);
    expect(seen).toEqual([]);
  });

  test('QoS 0 is 202, QoS 1 and 2 are 200, a refusal is its problem', async () => {
    const { post, seen } = await publishing();
    for (const url of ['/v1/connections/a/publish', '/v1/publish', '/v1/publish?broker=other']) {
      expect((await post(url, { topic: 't', payload: 'x' })).statusCode).toBe(202);
      expect((await post(url, { topic: 't', qos: 1 })).json()).toEqual(OUTCOME);
      expect((await post(url, { topic: 't', qos: 2, timeout: 2 })).statusCode).toBe(200);
      const refused = await post(url, { topic: 'refused', qos: 1 });
      expect([refused.statusCode, refused.json().reasonCode]).toEqual([422, 135]);
    }
    expect(seen.map(({ to }) => to).filter((_, index) => index % 4 === 0)).toEqual(['a', 'default', 'other']);
    expect(seen[2]?.requests[0]?.timeoutMs).toBe(2000);
  });

  test('in a batch one bad item does not fail the others, and each has its place', async () => {
    const { post, seen } = await publishing();
    const answer = await post('/v1/publish', [
      { topic: 'a', qos: 1 },
      { topic: 'a/#', qos: 7 },
      { topic: 'refused', qos: 1 },
      null,
      { topic: 'b', qos: 0 },
    ]);
    expect(answer.statusCode).toBe(200);
    const { results } = answer.json();
    expect(results[0]).toEqual(OUTCOME);
    expect(results[1]).toMatchObject({ status: 400, type: '/problems/invalid-request' });
    expect(results[1].errors).toHaveLength(2);
    expect(results[2]).toMatchObject({ status: 422, type: '/problems/broker-refused', detail: 'no', reasonCode: 135 });
    expect(results[3]).toMatchObject({ status: 400 });
    expect(results[4]).toEqual({ ...OUTCOME, qos: 0 });
    expect(seen).toHaveLength(1);
    expect(seen[0]?.requests.map(({ message }) => message.topic)).toEqual(['a', 'refused', 'b']);
  });

  test('an empty batch, one that is too long, nothing, and a parameter that does not exist are faults', async () => {
    const { post, seen } = await publishing();
    expect((await post('/v1/publish', [])).statusCode).toBe(400);
    expect((await post('/v1/publish', Array(1001).fill({ topic: 't' }))).statusCode).toBe(400);
    expect((await post('/v1/publish', 'text')).statusCode).toBe(400);
    expect((await post('/v1/publish?brokers=x', { topic: 't' })).statusCode).toBe(400);
    expect((await post('/v1/publish', [null, null])).json().results).toHaveLength(2);
    expect(seen).toHaveLength(0);
  });

  test('a payload over the limit is 413, in a batch too', async () => {
    const { post } = await publishing();
    const large = { topic: 't', payload: 'x'.repeat(1025) };
    expect((await post('/v1/publish', large)).statusCode).toBe(413);
    expect((await post('/v1/publish', [large])).json().results[0].status).toBe(413);
  });
});

describe('messages', () => {
  const page = {
    messages: [],
    next: null,
    remaining: 0,
    dropped: 0,
    connection: { state: 'online', since: 'now', reason: null },
  } as const;

  test('reading passes on what was asked, and writes payloads as asked', async () => {
    const seen: ReadRequest[] = [];
    const app = await appWith({
      readMessages: async (_id, request) => {
        seen.push(request);
        return { ...page, messages: [{ id: '1', message: incoming('{"a":1}'), deliveryCount: 0 }], next: '1' };
      },
    });
    const get = (query: string) => app.inject({ url: `/v1/connections/a/messages${query}`, headers: LOCAL });
    const answer = await get('?after=0&limit=2&wait=3&encoding=json&topic=a/+/b');
    expect(answer.json()).toMatchObject({ messages: [{ id: '1', payload: { a: 1 }, encoding: 'json' }], next: '1' });
    expect(seen[0]).toMatchObject({ after: '0', limit: 2, waitMs: 3000, filter: 'a/+/b' });
    expect((await get('')).json().messages[0].payload).toBe('{"a":1}');
    expect(seen[1]).toMatchObject({ after: null, limit: 100, waitMs: 0, filter: null });
    for (const query of ['?limit=0', '?wait=61', '?encoding=x', '?topic=a%23', '?x=1', '?after=']) {
      expect((await get(query)).statusCode, query).toBe(400);
    }
  });

  test('a caller that goes away ends the wait', async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const { promise: waiting, resolve: begin } = Promise.withResolvers<void>();
    const app = await appWith({
      readMessages: (_id, { signal }) => {
        signal.addEventListener('abort', () => resolve());
        begin();
        return aborted.then(() => ({ ...page, messages: [] }));
      },
    });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const caller = new AbortController();
    const answer = fetch(`${url}/v1/connections/a/messages?wait=60`, { signal: caller.signal });
    await waiting;
    caller.abort();
    await expect(answer).rejects.toThrow();
    await aborted;
    await app.close();
  });

  test('acknowledging', async () => {
    const seen: unknown[] = [];
    const app = await appWith({
      acknowledgeMessages: async (_id, request) => {
        seen.push(request);
        return { removed: 2 };
      },
    });
    const remove = (query: string) =>
      app.inject({ method: 'DELETE', url: `/v1/connections/a/messages${query}`, headers: LOCAL });
    expect((await remove('?through=9&topic=a/%23')).json()).toEqual({ removed: 2 });
    expect(seen).toEqual([{ through: '9', filter: 'a/#' }]);
    expect((await remove('')).json().errors[0].pointer).toBe('?through');
  });
});

describe('subscriptions', () => {
  const granted = { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' } as const;
  const refused = { qos: null, reasonCode: 135, reason: 'Not authorized' } as const;

  test('one or many; what is refused; what waits for the next attach', async () => {
    const app = await appWith({
      getConnection: async () => VIEW,
      addSubscriptions: async (_id, requests) => ({
        applied: requests[0]?.filter !== 'later',
        results: requests.map((request) => ({ ...request, granted: request.filter === 'no' ? refused : granted })),
      }),
    });
    const post = (payload: object) =>
      app.inject({ method: 'POST', url: '/v1/connections/a/subscriptions', headers: LOCAL, payload });
    expect((await post({ filter: 'a/#', qos: 1 })).json()).toMatchObject({ applied: true, results: [{ granted }] });
    expect((await post([{ filter: 'a' }, { filter: 'no' }])).statusCode).toBe(200);
    expect((await post({ filter: 'later' })).statusCode).toBe(202);
    const no = await post({ filter: 'no' });
    expect([no.statusCode, no.json().reasonCode]).toEqual([422, 135]);
    expect((await post([{ filter: 'a/#/b' }, { filter: 'x', qos: 3 }])).json().errors).toHaveLength(2);
  });

  test('listing, and unsubscribing from a filter with a plus', async () => {
    const seen: string[] = [];
    const app = await appWith({
      listSubscriptions: async () => [{ filter: 'a', qos: 1, granted: null }],
      removeSubscription: async (_id, filter) => {
        seen.push(filter);
        if (filter === 'none') throw new Problem('subscription-not-found');
      },
    });
    const url = '/v1/connections/a/subscriptions';
    expect((await app.inject({ url, headers: LOCAL })).json().subscriptions).toHaveLength(1);
    const remove = async (query: string) =>
      (await app.inject({ method: 'DELETE', url: `${url}${query}`, headers: LOCAL })).statusCode;
    for (const filter of ['a/+/b', '+/a', 'a%2F+', '+', 'a+b', 'a%2Bb'])
      expect(await remove(`?filter=${filter}`)).toBe(204);
    expect(seen).toEqual(['a/+/b', '+/a', 'a/+', '+', 'a b', 'a+b']);
    expect(await remove('?filter=none')).toBe(404);
    expect(await remove('')).toBe(400);
  });
});

describe('retained', () => {
  test('a page of messages; a shared filter is a fault', async () => {
    const seen: unknown[] = [];
    const app = await appWith({
      retainedMessages: async (broker, request) => {
        seen.push([broker, request.filter, request.limit, request.after]);
        return { messages: [incoming('x')], complete: true, next: null };
      },
    });
    const get = (query: string) => app.inject({ url: `/v1/retained${query}`, headers: LOCAL });
    const answer = await get('?filter=a/+/%23&limit=5&after=a/b/c&encoding=base64');
    expect(answer.json()).toMatchObject({ messages: [{ topic: 't', payload: 'eA==' }], complete: true, next: null });
    expect(answer.json().messages[0]).not.toHaveProperty('id');
    expect(seen).toEqual([['default', 'a/+/#', 5, 'a/b/c']]);
    for (const query of ['', '?filter=$share/g/a', '?filter=a%23', '?filter=a&x=1']) {
      expect((await get(query)).statusCode, query).toBe(400);
    }
  });
});

describe('the service', () => {
  test('healthy, ready, not ready', async () => {
    const state = { ready: false, store: { ok: false, detail: 'down' }, broker: { ok: true } };
    const app = await appWith({ readiness: async () => state });
    expect((await app.inject({ url: '/healthz' })).json()).toEqual({ status: 'ok' });
    const answer = await app.inject({ url: '/readyz' });
    expect([answer.statusCode, answer.json()]).toEqual([503, state]);
  });

  test('the contract names every operation, and the page loads nothing from elsewhere', async () => {
    const app = await appWith({});
    const contract = (await app.inject({ url: '/openapi.json', headers: LOCAL })).json();
    const operations = Object.values<Record<string, { operationId?: string; summary?: string }>>(
      contract.paths,
    ).flatMap((path) => Object.values(path));
    expect(contract.openapi).toMatch(/^3\.1/);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    expect(operations.every(({ operationId, summary }) => operationId && summary)).toBe(true);
    const page = await app.inject({ url: '/docs/', headers: { ...LOCAL, accept: 'text/html' } });
    expect(page.statusCode).toBe(200);
    expect([...page.body.matchAll(/(?:src|href)="(https?:)?\/\//g)]).toEqual([]);
  });

  test('the page has its script, and its address without the slash leads to it', async () => {
    const app = await appWith({});
    const headers = { ...LOCAL, accept: 'text/html' };
    const moved = await app.inject({ url: '/docs', headers });
    expect([moved.statusCode, moved.headers.location, moved.body]).toEqual([301, '/docs/', '']);
    const page = await app.inject({ url: '/docs/', headers });
    const [, source = ''] = /<script src="([^"]+)"/.exec(page.body) ?? [];
    const script = await app.inject({ url: new URL(source, 'http://here/docs/').pathname, headers: LOCAL });
    expect(script.statusCode).toBe(200);
    expect(script.headers['content-type']).toMatch(/^application\/javascript/);
    expect(script.rawPayload.length).toBe(Number(script.headers['content-length']));
    expect(script.rawPayload.length).toBeGreaterThan(1_000_000);
    const nothing = await app.inject({ url: '/docs/nothing', headers });
    expect([nothing.statusCode, nothing.json().type]).toEqual([404, '/problems/not-found']);
  });
});

describe.each(['/v1/connections/a/publish', '/v1/publish?broker=a'])('publishes whose outcome is kept: %s', (url) => {
  const MESSAGE = { topic: 't', payload: 'x', qos: 1 };

  /** Publishes one message with these headers, over a bridge that answers so; and what the bridge was asked. */
  async function send(answer: KeptAnswer | Problem, headers: Record<string, string>, payload: object = MESSAGE) {
    const asked: KeptRequest[] = [];
    const publish = async () => [OUTCOME];
    const publishKept = async (to: string, request: KeptRequest) => {
      expect(to).toBe('a');
      asked.push(request);
      if (answer instanceof Problem) throw answer;
      return answer;
    };
    const isPooled = url.startsWith('/v1/publish');
    const app = await appWith(
      isPooled ? { publishPooled: publish, publishPooledKept: publishKept } : { publish, publishKept },
    );
    const response = await app.inject({ method: 'POST', url, headers: { ...LOCAL, ...headers }, payload });
    return { response, asked };
  }

  test('Prefer: respond-async: 202 with where to ask', async () => {
    const { response, asked } = await send({ replayed: false, publishId: 'p1' }, { prefer: 'wait=10, Respond-Async' });
    expect([response.statusCode, response.json()]).toEqual([202, { publishId: 'p1', state: 'pending' }]);
    expect(response.headers).toMatchObject({ location: '/v1/publishes/p1', 'preference-applied': 'respond-async' });
    expect(response.headers['idempotency-replayed']).toBeUndefined();
    expect(asked).toMatchObject([{ batch: false, respondAsync: true, idempotencyKey: null }]);
    const replayed = await send(
      { replayed: true, publishId: 'p1' },
      { prefer: 'respond-async', 'idempotency-key': 'k' },
    );
    expect(replayed.response.headers).toMatchObject({ location: '/v1/publishes/p1', 'idempotency-replayed': 'true' });
    expect(replayed.asked).toMatchObject([{ respondAsync: true, idempotencyKey: 'k' }]);
  });

  test.each(['wait=5', 'handling=lenient; x="respond-async"', 'x="a, respond-async"', 'respond-asynchronously'])(
    'Prefer: %s is ignored',
    async (prefer) => {
      const { response, asked } = await send(new Problem('internal'), { prefer });
      expect([response.statusCode, asked]).toEqual([200, []]);
    },
  );

  test('Idempotency-Key: the same answer again, and a header that says so', async () => {
    const first = await send({ replayed: false, results: [OUTCOME] }, { 'idempotency-key': '"a key"' });
    expect(first.response.json()).toEqual(OUTCOME);
    expect(first.response.headers['idempotency-replayed']).toBeUndefined();
    expect(first.asked).toMatchObject([{ idempotencyKey: '"a key"', respondAsync: false, batch: false }]);
    const again = await send({ replayed: true, results: [OUTCOME] }, { 'idempotency-key': '"a key"' });
    expect([again.response.statusCode, again.response.headers['idempotency-replayed']]).toEqual([200, 'true']);
    expect(again.asked[0]?.fingerprint).toBe(first.asked[0]?.fingerprint);
    const other = await send(
      { replayed: false, results: [OUTCOME] },
      { 'idempotency-key': 'k' },
      { ...MESSAGE, qos: 2 },
    );
    expect(other.asked[0]?.fingerprint).not.toBe(first.asked[0]?.fingerprint);
    const refused = new Problem('broker-refused', { reasonCode: 135, reason: 'Not authorized' });
    const failed = await send({ replayed: true, results: [refused] }, { 'idempotency-key': 'k' });
    expect(failed.response.json()).toMatchObject({ status: 422, type: '/problems/broker-refused', reasonCode: 135 });
    expect(failed.response.headers['idempotency-replayed']).toBe('true');
  });

  test('a batch has its invalid messages in their places', async () => {
    const results = [OUTCOME, new Problem('invalid-request', { detail: 'no' })];
    const { response, asked } = await send({ replayed: false, results }, { 'idempotency-key': 'k' }, [
      MESSAGE,
      { qos: 7 },
    ]);
    expect(response.json()).toMatchObject({ results: [OUTCOME, { status: 400, detail: 'no' }] });
    expect(asked[0]).toMatchObject({ batch: true, items: [{ message: { topic: 't' } }, { type: 'invalid-request' }] });
  });

  test.each(['', 'ü', 'a\tb', 'x'.repeat(256)])('a malformed Idempotency-Key is refused: %j', async (key) => {
    const { response, asked } = await send(new Problem('internal'), { 'idempotency-key': key });
    expect([response.statusCode, asked]).toEqual([400, []]);
    expect(response.json().errors).toMatchObject([{ pointer: '?idempotency-key' }]);
  });

  test('an invalid message alone is a fault of the request', async () => {
    const { response, asked } = await send(new Problem('internal'), { 'idempotency-key': 'k' }, { topic: 'a/#' });
    expect([response.statusCode, asked]).toEqual([400, []]);
  });

  test.each(['still-running', 'idempotency-key-reused', 'overloaded', 'not-owner'] as const)('%s', async (name) => {
    const { response } = await send(new Problem(name), { 'idempotency-key': 'k' });
    expect(response.json()).toMatchObject({ type: `/problems/${name}` });
  });
});

test('GET /v1/publishes/{publishId}: what is known of each message', async () => {
  const view = { publishId: 'p1', acceptedAt: 0 };
  const refused = new Problem('broker-refused', { reasonCode: 135 });
  const views: Record<string, PublicationView> = {
    pending: { ...view, batch: true, results: [OUTCOME, null] },
    failed: { ...view, batch: false, results: [refused] },
    unsent: { ...view, batch: false, results: [null] },
  };
  const app = await appWith({
    getPublication: async (id) => {
      const found = views[id];
      if (found === undefined) throw new Problem('publish-not-found');
      return found;
    },
  });
  const get = async (id: string) => {
    const answer = await app.inject({ method: 'GET', url: `/v1/publishes/${id}`, headers: LOCAL });
    return [answer.statusCode, answer.json()];
  };
  const shown = { publishId: 'p1', acceptedAt: '1970-01-01T00:00:00.000Z' };
  expect(await get('pending')).toEqual([200, { ...shown, state: 'pending', results: [OUTCOME, null] }]);
  expect(await get('failed')).toMatchObject([
    200,
    { ...shown, state: 'done', result: { status: 422, reasonCode: 135 } },
  ]);
  expect(await get('unsent')).toEqual([200, { ...shown, state: 'pending', result: null }]);
  expect(await get('gone')).toMatchObject([404, { type: '/problems/publish-not-found' }]);
});
