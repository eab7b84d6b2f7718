import { expect, test } from 'vitest';
import { appWith, LOCAL } from './fixture.ts';

type Operation = { requestBody?: { content: Record<string, unknown> }; parameters?: { in: string; name: string }[] };

/** What passes validation fails, since this bridge can do nothing: that is a 500, and not looked at. */
const app = await appWith({});
await app.ready();
const { paths = {} } = app.swagger() as { paths?: Record<string, Record<string, Operation>> };
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    method: method.toUpperCase() as 'POST',
    url: path.replaceAll(/\{[^}]+\}/g, 'a'),
    ...operation,
  })),
);
/** zod's own words, which say nothing of this API. */
const LIBRARY = /Invalid|expected|received|undefined|Unrecognized|Too (small|big)/;

test('a body that is none, and a parameter given twice', async () => {
  const url = '/v1/connections/a/detach';
  const headers = { ...LOCAL, 'content-type': 'application/json' };
  const body = await app.inject({ method: 'POST', url, headers, payload: '[]' });
  expect(body.json()).toMatchObject({ errors: [{ pointer: '', detail: 'The body is an object.' }] });
  const twice = await app.inject({ url: '/v1/connections?state=x&after=a&after=b', headers: LOCAL });
  expect(twice.json()).toMatchObject({
    errors: [
      { pointer: '?state', detail: expect.stringMatching(/^`state` is one of "connecting", "online"/) },
      { pointer: '?after', detail: '`after` is one string, not several.' },
    ],
  });
});

test.each(
  operations
    .filter(({ requestBody }) => requestBody?.content['application/json'] !== undefined)
    .flatMap(({ method, url }) =>
      ['[]', '[1]', '"x"', '1', 'null', '{"x":1}'].map((body) => [method, url, body] as const),
    ),
)('%s %s with %s', async (method, url, payload) => {
  const headers = { ...LOCAL, 'content-type': 'application/json' };
  const answer = await app.inject({ method, url, headers, payload });
  expect(answer.body).not.toMatch(LIBRARY);
});

test.each(
  operations.flatMap(({ method, url, parameters = [] }) =>
    parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => [method, url, name] as const),
  ),
)('%s %s?%s', async (method, url, name) => {
  for (const query of [`${name}=`, `${name}=a&${name}=b`, `${name}=%00`]) {
    const answer = await app.inject({ method, url: `${url}?${query}`, headers: LOCAL });
    expect(answer.body).not.toMatch(LIBRARY);
  }
});
