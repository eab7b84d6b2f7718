import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { until } from '../helpers/until.ts';

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto();
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, MAX_PAYLOAD: '65536' } });
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

const topics = (method: string, path: string, body?: string | Uint8Array, headers = {}) =>
  bridge.request(method, `/v1/topics/${path}`, { ...(body === undefined ? {} : { body }), headers });

/** The retained message as a new client gets it, in a format of mosquitto_sub; null when there is none. */
async function retained(topic: string, format = '%x'): Promise<string | null> {
  const end = 'end-of-retained';
  const args = ['-V', 'mqttv5', '-q', '2', '-t', topic, '-t', end, '-F', `%t ${format}`];
  const subscriber = await mosquittoSub(broker, args);
  // Mosquitto sends what is retained with SUBACK: when this comes, nothing more will.
  await mosquittoPub(broker, ['-t', end, '-m', '']);
  const ended = () => subscriber.lines().some((line) => line.startsWith(`${end} `));
  await until(ended, { what: 'all that is retained' });
  await subscriber.stop();
  const [first = ''] = subscriber.lines();
  return first.startsWith(`${end} `) ? null : first.slice(topic.length + 1);
}

const hex = (text: string | Uint8Array) => Buffer.from(text).toString('hex');

describe('a topic as a web resource', () => {
  it('PUT publishes the body retained, GET and HEAD answer it, DELETE clears it', async () => {
    const put = await topics('PUT', 'web/one', 'Grüße', { 'content-type': 'text/plain; charset=utf-8' });
    expect(put.status).toBeOneOf([200, 201, 202]);
    expect(await retained('web/one', '%r %C %p')).toBe('1 text/plain; charset=utf-8 Grüße');
    const get = await topics('GET', 'web/one');
    expect(get.status).toBe(200);
    expect(get.text).toBe('Grüße');
    expect(get.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(get.headers.etag).toMatch(/^"/);
    const head = await topics('HEAD', 'web/one');
    expect(head.status).toBe(200);
    expect(head.text).toBe('');
    expect(head.headers).toMatchObject({
      etag: get.headers.etag,
      'content-type': get.headers['content-type'],
      'content-length': '7',
    });
    expect((await topics('DELETE', 'web/one')).status).toBeOneOf([200, 202, 204]);
    expect((await topics('GET', 'web/one')).status).toBe(404);
    expect((await topics('HEAD', 'web/one')).status).toBe(404);
    expect(await retained('web/one')).toBeNull();
  });

  it('GET answers what others retained', async () => {
    await mosquittoPub(broker, ['-t', 'web/others', '-m', 'theirs', '-r', '-q', '1']);
    const first = await topics('GET', 'web/others');
    expect(first.text).toBe('theirs');
    await mosquittoPub(broker, ['-t', 'web/others', '-m', 'changed', '-r', '-q', '1']);
    const second = await topics('GET', 'web/others');
    expect(second.text).toBe('changed');
    expect(second.headers.etag).not.toBe(first.headers.etag);
    await mosquittoPub(broker, ['-t', 'web/others', '-n', '-r', '-q', '1']);
    const gone = await topics('GET', 'web/others');
    expect(gone.status).toBe(404);
    expect(gone.json).toMatchObject({ type: '/problems/no-retained-message' });
  });

  it('answers 304 to who has it already', async () => {
    await topics('PUT', 'web/etag', 'same');
    const { headers } = await topics('GET', 'web/etag');
    for (const known of [headers.etag, `"x", ${headers.etag}`, `W/${headers.etag}`, '*']) {
      const answer = await topics('GET', 'web/etag', undefined, { 'if-none-match': known });
      expect(answer.status, known).toBe(304);
      expect(answer.bytes).toHaveLength(0);
      expect(answer.headers.etag).toBe(headers.etag);
    }
    expect((await topics('GET', 'web/etag', undefined, { 'if-none-match': '"x"' })).status).toBe(200);
    await topics('PUT', 'web/etag', 'other');
    expect((await topics('GET', 'web/etag', undefined, { 'if-none-match': headers.etag })).status).toBe(200);
  });

  it('POST publishes the body without retaining it', async () => {
    const subscriber = await mosquittoSub(broker, ['-t', 'web/post', '-q', '2', '-C', '2', '-F', '%q %r %p']);
    expect((await topics('POST', 'web/post', 'default')).status).toBeOneOf([200, 202]);
    expect((await topics('POST', 'web/post?qos=2', 'exactly')).status).toBe(200);
    const lines = await subscriber.waitForLines(2);
    expect(lines[1]).toBe('2 0 exactly');
    expect(lines[0]).toMatch(/^\d 0 default$/);
    await subscriber.exited;
    expect((await topics('GET', 'web/post')).status).toBe(404);
  });

  it('refuses an empty PUT, which would clear it', async () => {
    await topics('PUT', 'web/empty', 'kept');
    for (const body of [undefined, '']) {
      const answer = await topics('PUT', 'web/empty', body);
      expect(answer.status).toBe(400);
      expect(answer.json).toMatchObject({ type: '/problems/invalid-request' });
    }
    expect(await retained('web/empty', '%p')).toBe('kept');
  });

  it.each([
    { what: 'bytes that are no text', body: Buffer.from([0, 0xff, 0xfe, 0x80, 10, 13, 0]) },
    { what: 'JSON text, unparsed', body: Buffer.from('{ "a":1, "a":2 }\n'), type: 'application/json' },
    { what: 'no JSON, though it says so', body: Buffer.from('{'), type: 'application/json' },
    { what: 'XML', body: Buffer.from('<x/>'), type: 'text/xml' },
    { what: '65,536 bytes', body: Buffer.alloc(65_536, 0xab) },
  ])('takes and gives $what byte by byte', async ({ body, type }) => {
    const put = await topics('PUT', 'web/bytes?qos=1', body, type === undefined ? {} : { 'content-type': type });
    expect(put.status).toBe(200);
    expect(await retained('web/bytes')).toBe(hex(body));
    const get = await topics('GET', 'web/bytes');
    expect(get.bytes.equals(body)).toBe(true);
    if (type !== undefined) expect(get.headers['content-type']).toBe(type);
  });

  it('takes a form byte by byte, but not for one: curl calls everything a form', async () => {
    expect(
      (await topics('PUT', 'web/form', 'a=b&c=%20', { 'content-type': 'application/x-www-form-urlencoded' })).status,
    ).toBe(200);
    expect(await retained('web/form', '<%C> %p')).toBe('<> a=b&c=%20');
  });

  it('refuses a body over MAX_PAYLOAD', async () => {
    const answer = await topics('PUT', 'web/large', Buffer.alloc(65_537));
    expect(answer.status).toBe(413);
    expect(answer.json).toMatchObject({ type: '/problems/payload-too-large' });
  });

  it.each([
    {
      how: 'query parameters',
      query: '?qos=1&messageExpiryInterval=100&responseTopic=r/t&correlationData=Y2Q=&payloadFormatIndicator=1',
      headers: {},
    },
    {
      how: 'Mqtt-* headers',
      query: '',
      headers: {
        'mqtt-qos': '1',
        'mqtt-message-expiry-interval': '100',
        'mqtt-response-topic': 'r/t',
        'mqtt-correlation-data': 'Y2Q=',
        'mqtt-payload-format-indicator': '1',
        'mqtt-user-property': 'k=v%20w',
      },
    },
  ])('takes QoS and properties as $how', async ({ query, headers }) => {
    expect((await topics('PUT', `web/props${query}`, 'x', { 'content-type': 'a/b', ...headers })).status).toBe(200);
    const line = await retained('web/props', '%q|%E|%R|%D|%F|%C|%P|%p');
    const user = query === '' ? 'k:v w' : '';
    expect(line).toMatch(new RegExp(`^1\\|(100|9\\d)\\|r/t\\|cd\\|1\\|a/b\\|${user}\\|x$`));
    const get = await topics('GET', 'web/props');
    expect(get.headers).toMatchObject({
      'mqtt-qos': '1',
      'mqtt-response-topic': encodeURIComponent('r/t'),
      'mqtt-correlation-data': 'Y2Q=',
    });
  });
});

describe('the topic in the path', () => {
  it.each([
    { path: 'a//b', topic: 'a//b' },
    { path: '/a', topic: '/a' },
    { path: 'a/', topic: 'a/' },
    { path: '/', topic: '/' },
    { path: '//', topic: '//' },
    { path: 'a%20b/c', topic: 'a b/c' },
    { path: 'a%2Fb/c', topic: 'a/b/c' },
    { path: '%C3%BC/%E6%B8%A9%E5%BA%A6', topic: 'ü/温度' },
    { path: '100%25', topic: '100%' },
    { path: 'a%252Fb', topic: 'a%2Fb' },
    { path: 'a/../b', topic: 'a/../b' },
    { path: './x', topic: './x' },
    { path: '%24private/x', topic: '$private/x' },
    { path: 'a+b'.replace('+', '%3F'), topic: 'a?b' },
    { path: 'x.json', topic: 'x.json' },
    { path: '~abc', topic: '~abc' },
    { path: 'a;b=c,d&e=f:g@h', topic: 'a;b=c,d&e=f:g@h' },
  ])('$path is the topic $topic', async ({ path, topic }) => {
    expect((await topics('PUT', path, path)).status).toBeOneOf([200, 201, 202]);
    expect(await retained(topic, '%t %p')).toBe(`${topic} ${path}`);
    expect((await topics('GET', path)).text).toBe(path);
    const query = `/v1/topics?topic=${encodeURIComponent(topic)}`;
    expect((await bridge.request('GET', query)).text).toBe(path);
    expect((await bridge.request('PUT', query, { body: 'by query' })).status).toBeOneOf([200, 201, 202]);
    expect((await topics('GET', path)).text).toBe('by query');
    expect((await bridge.request('DELETE', query)).status).toBeOneOf([200, 202, 204]);
    expect(await retained(topic)).toBeNull();
  });

  it.each(['a/%23', '%2B/a', 'a%00b', '%ff', '%zz', ''])('%j is no Topic Name', async (path) => {
    for (const method of ['GET', 'PUT', 'POST', 'DELETE']) {
      const answer = await topics(method, path, method === 'PUT' || method === 'POST' ? 'x' : undefined);
      expect(answer.status, method).toBe(400);
      expect(answer.headers['content-type']).toMatch(/problem/);
    }
  });

  it('may be 2,048 characters long', async () => {
    const path = 'x'.repeat(2_048 - '/v1/topics/'.length);
    expect((await topics('PUT', path, 'long')).status).toBeOneOf([200, 202]);
    expect((await topics('GET', path)).text).toBe('long');
  });
});

describe('retained messages under a filter', () => {
  interface Page {
    messages: { topic: string; payload: string }[];
    complete: boolean;
    next: string | null;
  }
  const list = (query: string) => bridge.request<Page>('GET', `/v1/retained?${query}`);

  it('lists them, wildcards too, in pages', async () => {
    const expected = Array.from({ length: 25 }, (_, index) => `tree/${String(index).padStart(2, '0')}/leaf`);
    for (const topic of expected) await mosquittoPub(broker, ['-t', topic, '-m', topic, '-r']);
    const all = await list(`filter=${encodeURIComponent('tree/#')}`);
    expect(all.status).toBe(200);
    expect(all.json).toMatchObject({ complete: true, next: null });
    expect(all.json.messages.map(({ topic }) => topic)).toEqual(expected);
    expect(all.json.messages[0]).toMatchObject({ payload: expected[0], encoding: 'utf8', retain: true });
    const seen: string[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const cursor: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
      const page = await list(`filter=${encodeURIComponent('tree/+/leaf')}&limit=10${cursor}`);
      seen.push(...page.json.messages.map(({ topic }) => topic));
      after = page.json.next;
    }
    expect(seen).toEqual(expected);
  });

  it('answers an empty list when there are none', async () => {
    expect((await list('filter=nothing/here')).json).toEqual({ messages: [], complete: true, next: null });
  });

  it.each(['%24share/g/a', 'a/%23/b', 'a%2B', ''])('refuses the filter %j', async (filter) => {
    const answer = await list(`filter=${filter}`);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ type: '/problems/invalid-request' });
  });

  it('refuses an unknown broker', async () => {
    expect((await list('filter=a&broker=nowhere')).status).toBeOneOf([400, 404]);
    expect((await topics('PUT', 'a?broker=nowhere', 'x')).status).toBeOneOf([400, 404]);
  });
});
