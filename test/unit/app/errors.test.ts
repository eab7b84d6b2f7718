import { describe, expect, test } from 'vitest';
import { PROBLEMS, type ProblemName } from '../../../src/errors/catalogue.ts';
import { Problem } from '../../../src/errors/problem.ts';
import { appWith, LOCAL, VIEW } from './fixture.ts';

describe('errors', () => {
  test('an unknown path is 404, a path that does not know the method 405 with Allow', async () => {
    const app = await appWith({});
    const missing = await app.inject({ url: '/v2', headers: LOCAL });
    expect(missing.statusCode).toBe(404);
    expect(missing.headers['content-type']).toContain('application/problem+json');
    expect(missing.json()).toMatchObject({ type: '/problems/not-found', status: 404 });

    for (const [method, url, allow] of [
      ['DELETE', '/v1/connections', 'GET, HEAD, POST'],
      ['POST', '/v1/connections/a', 'DELETE, GET, HEAD, PATCH, PUT'],
      ['PATCH', '/v1/topics/a', 'DELETE, GET, HEAD, POST, PUT'],
    ] as const) {
      const wrong = await app.inject({ method, url, headers: LOCAL, payload: 'x' });
      expect(wrong.statusCode, `${method} ${url}`).toBe(405);
      expect(wrong.headers.allow).toBe(allow);
    }
  });

  test('malformed JSON, a body that is no JSON, one that is too large', async () => {
    const app = await appWith({});
    const post = (payload: string, type = 'application/json') =>
      app.inject({ method: 'POST', url: '/v1/publish', headers: { ...LOCAL, 'content-type': type }, payload });
    expect((await post('{"topic":')).json()).toMatchObject({ status: 400, detail: 'The body is not JSON.' });
    expect((await post('{"__proto__":{}}')).statusCode).toBe(400);
    expect((await post('x', 'text/plain')).json()).toMatchObject({ type: '/problems/unsupported-media-type' });
    const large = await app.inject({
      method: 'POST',
      url: '/v1/connections',
      headers: { ...LOCAL, 'content-type': 'application/json' },
      payload: `"${'x'.repeat(1_000_000)}"`,
    });
    expect(large.json()).toMatchObject({ type: '/problems/payload-too-large', status: 413 });
  });

  test('a body that a route needs and does not get is a fault, whatever Content-Type says', async () => {
    const app = await appWith({});
    for (const headers of [LOCAL, { ...LOCAL, 'content-type': 'application/json' }]) {
      const answer = await app.inject({ method: 'POST', url: '/v1/connections', headers });
      expect(answer.statusCode).toBe(400);
      expect(answer.json().type).toBe('/problems/invalid-request');
    }
  });

  test('Accept that rules JSON out is 406', async () => {
    const app = await appWith({ getConnection: async () => VIEW });
    const get = async (accept: string) =>
      (await app.inject({ url: '/v1/connections/a', headers: { ...LOCAL, accept } })).statusCode;
    expect(await get('text/html')).toBe(406);
    expect(await get('application/json;q=0, */*')).toBe(406);
    expect(await get('text/html, */*;q=0.1')).toBe(200);
    expect(await get('application/*')).toBe(200);
  });

  test('every fault of a request is named at once, across its parts', async () => {
    const app = await appWith({});
    const answer = await app.inject({
      method: 'DELETE',
      url: '/v1/connections/a?session=x&will=y&more=1',
      headers: LOCAL,
    });
    expect(answer.statusCode).toBe(400);
    expect(
      answer
        .json()
        .errors.map(({ pointer }: { pointer: string }) => pointer)
        .sort(),
    ).toEqual(['?more', '?session', '?will']);
    const both = await app.inject({
      method: 'POST',
      url: '/v1/connections/a/detach?x=1',
      headers: LOCAL,
      payload: { sessionExpiryInterval: -1, y: 2 },
    });
    expect(
      both
        .json()
        .errors.map(({ pointer }: { pointer: string }) => pointer)
        .sort(),
    ).toEqual(['/sessionExpiryInterval', '/y', '?x']);
  });

  test('an unexpected error is 500 without its insides', async () => {
    const app = await appWith({
      getConnection: async () => {
        throw new Error('secret detail');
      },
    });
    const answer = await app.inject({ url: '/v1/connections/a', headers: LOCAL });
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('secret');
    expect(answer.json()).toEqual({ type: '/problems/internal', title: PROBLEMS.internal.title, status: 500 });
    expect(answer.headers['x-request-id']).toBeDefined();
  });

  test('problems of the bridge are answered with status, reason code and Retry-After', async () => {
    const names: ProblemName[] = [
      'connection-not-usable',
      'broker-refused',
      'broker-unreachable',
      'no-answer',
      'overloaded',
    ];
    for (const name of names) {
      const problem = new Problem(name, { detail: 'why', reasonCode: 135, reason: 'Not authorized' });
      const app = await appWith({ attachConnection: async () => Promise.reject(problem) });
      const answer = await app.inject({ method: 'POST', url: '/v1/connections/a/attach', headers: LOCAL });
      expect(answer.statusCode).toBe(PROBLEMS[name].status);
      expect(answer.json()).toMatchObject({ type: `/problems/${name}`, detail: 'why', reasonCode: 135 });
      expect(answer.headers['retry-after']).toBe(PROBLEMS[name].status === 503 ? '1' : undefined);
    }
  });

  test('in tests, an answer that is not as declared is an error', async () => {
    const app = await appWith({ getConnection: async () => ({ ...VIEW, state: 'asleep' }) as never });
    expect((await app.inject({ url: '/v1/connections/a', headers: LOCAL })).statusCode).toBe(500);
  });
});
