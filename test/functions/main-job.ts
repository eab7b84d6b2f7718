import { expect } from 'vitest';
import type { Endpoint, Sent } from './platform.ts';

const JSON_BODY = [['Content-Type', 'application/json']] as const;
const OPAQUE_BODY = [['Content-Type', 'application/octet-stream']] as const;
const BYTES = Buffer.from([0, 0xff, 0xfe, 0x80, 0x0a, 0xc3, 0x28]);

/**
 * What the bridge is for, over HTTP: a retained message, byte by byte; a Connection whose id holds a slash, what it
 * publishes, and what arrives for it. `name` keeps it apart from others at the same broker. `Host` is the endpoint's.
 */
export async function doMainJob(send: Endpoint['send'], name: string, host: string): Promise<void> {
  const call = async (method: string, url: string, more: Pick<Sent, 'body' | 'headers'> = {}) => {
    const { status, body } = await send({ method, url, ...more, headers: [['Host', host], ...(more.headers ?? [])] });
    return { status, body };
  };
  const json = async (method: string, url: string, document?: object) => {
    const more = document === undefined ? {} : { body: JSON.stringify(document), headers: JSON_BODY };
    const { status, body } = await call(method, url, more);
    return { status, value: body.length === 0 ? null : JSON.parse(body.toString()) };
  };

  const topic = `/v1/topics/${name}//caf%C3%A9`;
  expect((await call('PUT', topic, { body: BYTES, headers: OPAQUE_BODY })).status).toBe(200);
  const retained = await call('GET', topic);
  expect([retained.status, retained.body.toString('hex')]).toEqual([200, BYTES.toString('hex')]);

  const connection = `/v1/connections/~${Buffer.from(`${name}/job`).toString('base64url')}`;
  const declared = await json('PUT', connection, {
    sessionExpiryInterval: 300,
    subscriptions: [{ filter: `${name}/in/+`, qos: 1 }],
  });
  expect([declared.status, declared.value.id]).toEqual([201, `${name}/job`]);

  const messages = [1, 2, 3].map((count) => ({ topic: `${name}/in/x`, payload: `${count}`, qos: 1 }));
  const published = await json('POST', `${connection}/publish`, messages);
  expect(published.value).toEqual({ results: messages.map(() => expect.objectContaining({ qos: 1 })) });

  const arrived: { id: string; payload: string }[] = [];
  while (arrived.length < messages.length) {
    const after = arrived.at(-1)?.id;
    const cursor = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    const page = await json('GET', `${connection}/messages?wait=5&limit=2${cursor}`);
    expect(page).toMatchObject({ status: 200, value: { messages: [{}, ...page.value.messages.slice(1)] } });
    arrived.push(...page.value.messages);
  }
  expect(arrived.map(({ payload }) => payload)).toEqual(['1', '2', '3']);
  const through = encodeURIComponent(arrived.at(-1)?.id ?? '');
  expect((await json('DELETE', `${connection}/messages?through=${through}`)).value).toEqual({ removed: 3 });

  expect((await call('DELETE', connection)).status).toBe(204);
  expect((await call('GET', connection)).status).toBe(404);
}
