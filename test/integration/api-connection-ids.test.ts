import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto();
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

const ids = [
  'plant/7',
  '/',
  'a//b/',
  'plant.7',
  '.',
  '..',
  '../x',
  'one.json',
  '100%',
  '%2F',
  '%zz',
  'two words',
  '~tilde',
  '~cGxhbnQ',
  'Zähler-⌀-温度-🌡',
  'a+b&c=d?e#f;g,h',
  'a:b@c',
  '"quoted"\\',
  'attach',
  'x'.repeat(1000),
];

const base64Form = (id: string) => `~${Buffer.from(id).toString('base64url')}`;

/** How an id may be written in a path; one that begins with "~" has the base64url form only (RFC 3986: "%7E" is "~"). */
function formsOf(id: string): string[] {
  const percentEncoded = /^\.+$/.test(id) ? '%2E'.repeat(id.length) : encodeURIComponent(id);
  return id.startsWith('~') ? [base64Form(id)] : [percentEncoded, base64Form(id)];
}

describe.each(ids)('the id %j', (id) => {
  it.each(formsOf(id))('names its Connection in paths as %s', async (segment) => {
    const path = `/v1/connections/${segment}`;
    const clientId = `client-${ids.indexOf(id)}`;
    const created = await bridge.request('PUT', path, {
      json: { clientId, subscriptions: [{ filter: `t/${clientId}`, qos: 1 }] },
    });
    expect(created.json).toMatchObject({ id, clientId, state: 'online' });
    expect(created.status).toBe(201);
    await mosquittoPub(broker, ['-t', `t/${clientId}`, '-m', 'x', '-q', '1']);
    const messages = await bridge.request('GET', `${path}/messages?wait=10`);
    expect(messages.json).toMatchObject({ messages: [{ topic: `t/${clientId}`, payload: 'x' }] });
    expect((await bridge.request('PATCH', path, { json: { keepAlive: 50 } })).json).toMatchObject({ id });
    const publish = { json: { topic: 'x', payload: 'x', qos: 1 } };
    expect((await bridge.request('POST', `${path}/publish`, publish)).status).toBe(200);
    expect((await bridge.request('GET', `${path}/subscriptions`)).json).toMatchObject({ subscriptions: [{ qos: 1 }] });
    expect((await bridge.request('GET', path)).json).toMatchObject({ id });
    expect((await bridge.request('DELETE', path)).status).toBe(204);
    expect((await bridge.request('GET', path)).status).toBe(404);
  });

  it('comes back in the Location of POST, as a path that works', async () => {
    const created = await bridge.request('POST', '/v1/connections', { json: { id, clientId: 'from-post' } });
    expect(created.status).toBe(201);
    const location = created.headers.location ?? '';
    expect(location).toMatch(/^\/v1\/connections\/[!-~]+$/);
    expect((await bridge.request('GET', location)).json).toMatchObject({ id, clientId: 'from-post' });
    // What clients make of it: URL resolves "..", and leaves everything else alone.
    expect(new URL(location, bridge.url).pathname).toBe(location);
    expect((await bridge.request('DELETE', location)).status).toBe(204);
  });
});

it('refuses what is not percent-encoded UTF-8, and ids that are too long', async () => {
  for (const path of ['%ff', '%zz', '~*', '~tilde', '%7Etilde', `~${Buffer.from([0xff]).toString('base64url')}`]) {
    const answer = await bridge.request('GET', `/v1/connections/${path}`);
    expect(answer.status, path).toBe(400);
    expect(answer.headers['content-type']).toMatch(/problem/);
  }
  expect((await bridge.request('PUT', `/v1/connections/${'x'.repeat(1_900)}`, { json: {} })).status).toBe(400);
});
