import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto({ users: { u: 'right-secret', other: 'other-secret', judge: 'j' } });
  const url = broker.url.replace('//', '//judge:j@');
  bridge = await startBridgeProcess({ env: { MQTT_URL: url, ALLOW_URLS: 'mqtt://127.0.0.1:*' } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

const judge = ['-u', 'judge', '-P', 'j'];
const connects = (clientId: string) =>
  [...broker.log().matchAll(/New client connected from \S+ as (\S+) \((.*)\)/g)].flatMap(([, id, how]) =>
    id === clientId ? [how] : [],
  );

describe.each([
  { protocolVersion: '5.0', session: { cleanStart: false, sessionExpiryInterval: 300 } },
  { protocolVersion: '3.1.1', session: { cleanSession: false } },
])('changing a Connection that speaks MQTT $protocolVersion', ({ protocolVersion, session }) => {
  const id = `change${protocolVersion[0]}`;
  const path = `/v1/connections/${id}`;
  const credentials = () => ({ url: broker.url, username: 'u', password: 'right-secret' });
  const document = () => ({ protocolVersion, ...session, ...credentials() });
  const filters = [
    { filter: `${id}/a`, qos: 1 },
    { filter: `${id}/b`, qos: 2 },
  ];

  it('does not connect again for the queue and subscriptions', async () => {
    const created = await bridge.request('PUT', path, { json: { ...document(), subscriptions: filters } });
    expect(created.json).toMatchObject({ state: 'online' });
    const changed = await bridge.request('PUT', path, {
      json: { ...document(), queue: { maxMessages: 10 }, subscriptions: [filters[1], { filter: `${id}/c`, qos: 1 }] },
    });
    expect(changed.status).toBe(200);
    expect(changed.json).toMatchObject({ state: 'online', parameters: { queue: { maxMessages: 10 } } });
    // Judged by what arrives: the removed filter is unsubscribed, the new one subscribed.
    for (const level of ['a', 'b', 'c'])
      await mosquittoPub(broker, [...judge, '-t', `${id}/${level}`, '-m', level, '-q', '1']);
    await expect
      .poll(async () => (await bridge.request('GET', `${path}/messages`)).json)
      .toMatchObject({ messages: [{ payload: 'b' }, { payload: 'c' }] });
    expect(broker.log()).toMatch(new RegExp(`Received UNSUBSCRIBE from ${id}\\n\\s+${id}/a`));
    expect(connects(id)).toHaveLength(1);
  });

  it('leaves the subscriptions of a PUT without any, and removes all with an empty array', async () => {
    const left = await bridge.request('PUT', path, { json: document() });
    expect(left.json).toMatchObject({ subscriptions: [{ filter: `${id}/b` }, { filter: `${id}/c` }] });
    const none = await bridge.request('PUT', path, { json: { ...document(), subscriptions: [] } });
    expect(none.json).toMatchObject({ subscriptions: [] });
    expect(connects(id)).toHaveLength(1);
  });

  it('connects again, to the same session, for the Will, Keep Alive and credentials', async () => {
    const wills = await mosquittoSub(broker, [...judge, '-t', `will/${id}`]);
    const changes = [
      { will: { topic: `will/${id}`, payload: 'first', qos: 1 } },
      { will: { topic: `will/${id}`, payload: 'second', qos: 1 } },
      { keepAlive: 77 },
      { username: 'other', password: 'other-secret' },
    ];
    for (const [index, change] of changes.entries()) {
      const answer = await bridge.request('PATCH', path, { json: change });
      expect(answer.status).toBe(200);
      expect(answer.json).toMatchObject({ state: 'online', generation: 1, connack: { sessionPresent: true } });
      expect(connects(id)).toHaveLength(2 + index);
    }
    expect(connects(id).at(-1)).toMatch(/c0, k77, u'other'/);
    // Detaching was graceful each time: no Will was published.
    await mosquittoPub(broker, [...judge, '-t', `will/${id}`, '-m', 'end']);
    expect(await wills.waitForLines(1)).toEqual(['end']);
    await wills.stop();
  });

  it('keeps the secrets that a PATCH does not name', async () => {
    const answer = await bridge.request('PATCH', path, { json: { keepAlive: 78 } });
    expect(answer.json).toMatchObject({ state: 'online', secrets: ['password'] });
    expect(answer.text).not.toContain('secret"');
    expect(connects(id).at(-1)).toMatch(/k78, u'other'/);
  });

  it('becomes refused with a wrong password, and online again with the right one', async () => {
    const wrong = await bridge.request('PATCH', path, { json: { password: 'wrong-secret' } });
    expect(wrong.status).toBe(200);
    const reasonCode = protocolVersion === '5.0' ? 0x87 : 5;
    expect(wrong.json).toMatchObject({ state: 'refused', reason: { reasonCode } });
    const publish = await bridge.request('POST', `${path}/publish`, { json: { topic: 'x', payload: 'x' } });
    expect(publish.status).toBe(409);
    const right = await bridge.request('PATCH', path, {
      json: { password: { base64: Buffer.from('other-secret').toString('base64') } },
    });
    expect(right.json).toMatchObject({ state: 'online', connack: { sessionPresent: true } });
  });

  it('keeps nothing of a POST with a wrong password, but does of a PUT', async () => {
    const wrong = { ...document(), password: 'wrong-secret' };
    const reasonCode = protocolVersion === '5.0' ? 0x87 : 5;
    const post = await bridge.request('POST', '/v1/connections', { json: { ...wrong, id: `${id}x` } });
    expect(post.status).toBe(422);
    expect(post.json).toMatchObject({
      type: '/problems/broker-refused',
      reasonCode,
      reason: expect.stringMatching(/authori[sz]ed/i),
    });
    expect((await bridge.request('GET', `/v1/connections/${id}x`)).status).toBe(404);
    const put = await bridge.request('PUT', `/v1/connections/${id}x`, { json: wrong });
    expect(put.status).toBe(201);
    expect(put.json).toMatchObject({ state: 'refused', reason: { reasonCode } });
    for (const answer of [post, put]) expect(answer.text).not.toContain('wrong-secret');
    const right = await bridge.request('PUT', `/v1/connections/${id}x`, { json: document() });
    expect(right.status).toBe(200);
    expect(right.json).toMatchObject({ state: 'online', connack: { sessionPresent: false } });
  });

  it('gives POST 200 only for the same secrets', async () => {
    const same = await bridge.request('POST', '/v1/connections', { json: { ...document(), id: `${id}x` } });
    expect(same.status).toBe(200);
    const other = await bridge.request('POST', '/v1/connections', {
      json: { ...document(), id: `${id}x`, password: 'guess' },
    });
    expect(other.status).toBe(409);
    expect(connects(`${id}x`)).toHaveLength(1);
  });
});

describe('subscribing by itself', () => {
  const path = '/v1/connections/sub';
  const subscribe = (json: unknown) => bridge.request('POST', `${path}/subscriptions`, { json });

  it('answers with what the broker granted, one or many', async () => {
    expect((await bridge.request('PUT', path, { json: {} })).json).toMatchObject({
      state: 'online',
      subscriptions: [],
    });
    const one = await subscribe({ filter: 's/one', qos: 2 });
    expect(one.status).toBe(200);
    expect(one.json).toMatchObject({
      applied: true,
      results: [{ filter: 's/one', qos: 2, granted: { qos: 2, reasonCode: 2 } }],
    });
    const many = await subscribe([
      { filter: 's/+/two', qos: 1, subscriptionIdentifier: 9 },
      { filter: '$share/g/s/three' },
    ]);
    expect(many.json).toMatchObject({ results: [{ granted: { qos: 1 } }, { granted: { qos: 0 } }] });
    await mosquittoPub(broker, [...judge, '-t', 's/1/two', '-m', 'x', '-q', '1']);
    const { json } = await bridge.request('GET', `${path}/messages?wait=10`);
    expect(json).toMatchObject({ messages: [{ topic: 's/1/two', subscriptionIdentifiers: [9] }] });
    const list = await bridge.request<{ subscriptions: { filter: string }[] }>('GET', `${path}/subscriptions`);
    expect(list.json.subscriptions.map(({ filter }) => filter).sort()).toEqual([
      '$share/g/s/three',
      's/+/two',
      's/one',
    ]);
  });

  it('gets retained messages again when it subscribes again', async () => {
    await mosquittoPub(broker, [...judge, '-t', 's/retained', '-m', 'kept', '-r', '-q', '1']);
    for (const count of [1, 2]) {
      expect((await subscribe({ filter: 's/retained', qos: 1 })).status).toBe(200);
      await expect
        .poll(
          async () =>
            (await bridge.request<{ messages: unknown[] }>('GET', `${path}/messages?topic=s/retained`)).json.messages,
        )
        .toHaveLength(count);
    }
  });

  it('unsubscribes by filter', async () => {
    const filter = encodeURIComponent('s/+/two');
    expect((await bridge.request('DELETE', `${path}/subscriptions?filter=${filter}`)).status).toBeOneOf([200, 204]);
    expect((await bridge.request('DELETE', `${path}/subscriptions?filter=${filter}`)).status).toBe(404);
    expect(broker.log()).toMatch(/Received UNSUBSCRIBE from sub\n\s+s\/\+\/two/);
  });

  it('refuses malformed filters, all at once', async () => {
    const answer = await subscribe([
      { filter: 'a/#/b' },
      { filter: 'ok' },
      { filter: 'a+' },
      { filter: '' },
      { filter: '$share/g' },
    ]);
    expect(answer.status).toBe(400);
    const { errors } = answer.json as { errors: { pointer: string }[] };
    expect(errors.map(({ pointer }) => pointer)).toEqual(['/0/filter', '/2/filter', '/3/filter', '/4/filter']);
  });
});
