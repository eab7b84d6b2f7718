import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub } from '../helpers/mosquitto-clients.ts';

const MAX_PAYLOAD = 2048;

interface Message {
  id: string;
  topic: string;
  payload: unknown;
  encoding: string;
  qos: number;
}

interface Page {
  messages: Message[];
  next: string | null;
  remaining: number;
  dropped: number;
}

let broker: Mosquitto;
let bridge: BridgeProcess;
/** Of the Connection of the test, which is subscribed to `<id>/#` at QoS 2. */
let id: string;
let path: string;

beforeAll(async () => {
  broker = await startMosquitto();
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, MAX_PAYLOAD: String(MAX_PAYLOAD) } });
});

beforeEach(async () => {
  id = `q${randomBytes(4).toString('hex')}`;
  path = `/v1/connections/${id}`;
  await declare({});
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

async function declare(changes: object): Promise<void> {
  const document = { cleanStart: false, sessionExpiryInterval: 300, subscriptions: [{ filter: `${id}/#`, qos: 2 }] };
  const answer = await bridge.request('PUT', path, { json: { ...document, ...changes } });
  expect(answer.json).toMatchObject({ state: 'online' });
}

const read = (query = '') => bridge.request<Page>('GET', `${path}/messages${query}`);
const remove = (query: string) => bridge.request('DELETE', `${path}/messages${query}`);
const payloads = ({ json }: { json: Page }) => json.messages.map(({ payload }) => payload);

/** One message for each line, at QoS 1, and waits until they are in the queue. */
async function fill(level: string, lines: readonly string[]): Promise<void> {
  const depth = async () => (await bridge.request<{ queue: { depth: number } }>('GET', path)).json.queue.depth;
  const before = await depth();
  await mosquittoPub(broker, ['-t', `${id}/${level}`, '-q', '1', '-l'], { stdin: `${lines.join('\n')}\n` });
  await expect.poll(depth, { timeout: 10_000, interval: 20 }).toBe(before + lines.length);
}

describe('reading the queue', () => {
  it('answers an empty queue of a Connection that is online', async () => {
    const answer = await read();
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      messages: [],
      next: null,
      remaining: 0,
      dropped: 0,
      connection: { state: 'online', since: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), reason: null },
    });
  });

  it('pages by cursor, and removes nothing', async () => {
    await fill('a', ['0', '1', '2', '3', '4']);
    const first = await read('?limit=2');
    expect(payloads(first)).toEqual(['0', '1']);
    expect(first.json).toMatchObject({ remaining: 3, next: first.json.messages[1]?.id });
    const second = await read(`?limit=2&after=${first.json.next}`);
    expect(payloads(second)).toEqual(['2', '3']);
    expect(second.json.remaining).toBe(1);
    const last = await read(`?limit=2&after=${second.json.next}`);
    expect(payloads(last)).toEqual(['4']);
    expect(last.json.remaining).toBe(0);
    const beyond = await read(`?after=${last.json.next}`);
    expect(beyond.json).toMatchObject({ messages: [], next: last.json.next, remaining: 0 });
    expect(payloads(await read())).toEqual(['0', '1', '2', '3', '4']);
  });

  it('shows what arrived with everything that came with it', async () => {
    const properties = [
      'payload-format-indicator 1',
      'message-expiry-interval 100',
      'content-type text/x',
      'response-topic r/t',
    ]
      .concat('correlation-data cd', 'user-property k v1', 'user-property k v2', 'user-property l w')
      .flatMap((property) => ['-D', 'publish', ...property.split(' ')]);
    await mosquittoPub(broker, ['-V', 'mqttv5', '-t', `${id}/all`, '-m', 'x', '-q', '2', ...properties]);
    const { json } = await read('?wait=10');
    expect(json.messages).toEqual([
      {
        id: expect.any(String),
        topic: `${id}/all`,
        payload: 'x',
        encoding: 'utf8',
        qos: 2,
        retain: false,
        dup: false,
        receivedAt: expect.stringMatching(/Z$/),
        deliveryCount: 0,
        properties: {
          payloadFormatIndicator: 1,
          messageExpiryInterval: expect.any(Number),
          contentType: 'text/x',
          responseTopic: 'r/t',
          correlationData: Buffer.from('cd').toString('base64'),
          userProperties: { k: ['v1', 'v2'], l: ['w'] },
        },
      },
    ]);
  });

  it.each([
    { encoding: 'auto', expected: ['{"a":1}', 'text', '/wA='], as: ['utf8', 'utf8', 'base64'] },
    { encoding: 'utf8', expected: ['{"a":1}', 'text', '/wA='], as: ['utf8', 'utf8', 'base64'] },
    { encoding: 'base64', expected: ['eyJhIjoxfQ==', 'dGV4dA==', '/wA='], as: ['base64', 'base64', 'base64'] },
    { encoding: 'json', expected: [{ a: 1 }, 'dGV4dA==', '/wA='], as: ['json', 'base64', 'base64'] },
  ])('writes payloads as $encoding, or as base64 where the bytes are not that', async ({ encoding, expected, as }) => {
    await fill('e', ['{"a":1}', 'text']);
    await mosquittoPub(broker, ['-t', `${id}/e`, '-q', '1', '-s'], { stdin: Buffer.from([0xff, 0]) });
    await expect.poll(async () => (await read()).json.messages).toHaveLength(3);
    const answer = await read(`?encoding=${encoding}`);
    expect(payloads(answer)).toEqual(expected);
    expect(answer.json.messages.map((message) => message.encoding)).toEqual(as);
  });

  it('filters by topic', async () => {
    await fill('a', ['a0', 'a1']);
    await fill('b/c', ['b0']);
    await fill('a', ['a2']);
    expect(payloads(await read(`?topic=${id}/a`))).toEqual(['a0', 'a1', 'a2']);
    expect(payloads(await read(`?topic=${encodeURIComponent(`${id}/+/c`)}`))).toEqual(['b0']);
    expect(payloads(await read(`?topic=${encodeURIComponent('other/#')}`))).toEqual([]);
    expect((await read(`?topic=${encodeURIComponent('a/#/b')}`)).status).toBe(400);
  });

  it('goes on behind what a filter passed over', async () => {
    await fill('a', ['a0', 'a1', 'a2']);
    const page = await read(`?topic=${id}/none`);
    expect(page.json.messages).toEqual([]);
    await fill('none', ['found']);
    expect(payloads(await read(`?topic=${id}/none&after=${page.json.next ?? ''}`))).toEqual(['found']);
  });

  it('wakes a long poll up on arrival', async () => {
    const began = performance.now();
    const waiting = read('?wait=30');
    await mosquittoPub(broker, ['-t', `${id}/a`, '-m', 'awake', '-q', '1']);
    expect(payloads(await waiting)).toEqual(['awake']);
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('wakes a long poll up only for what its filter wants', async () => {
    const waiting = read(`?wait=30&topic=${id}/wanted`);
    await fill('unwanted', ['0', '1']);
    await mosquittoPub(broker, ['-t', `${id}/wanted`, '-m', 'awake', '-q', '1']);
    expect(payloads(await waiting)).toEqual(['awake']);
  });

  it('ends a long poll when its time is over, and not before', async () => {
    const began = performance.now();
    const answer = await read('?wait=1');
    expect(answer.status).toBe(200);
    expect(payloads(answer)).toEqual([]);
    expect(performance.now() - began).toBeGreaterThan(950);
  });

  it('tells that the Connection is not online', async () => {
    expect((await bridge.request('POST', `${path}/detach`)).status).toBe(200);
    expect((await read()).json).toMatchObject({ messages: [], connection: { state: 'parked' } });
  });

  it.each(['limit=0', 'limit=1001', 'wait=61', 'wait=-1', 'encoding=hex', 'surprise=1', 'after='])(
    'refuses %s',
    async (query) => {
      const answer = await read(`?${query}`);
      expect(answer.status).toBe(400);
      expect(answer.json).toMatchObject({ type: expect.stringMatching(/invalid/) });
    },
  );
});

describe('acknowledging', () => {
  it('removes everything up to and including the cursor', async () => {
    await fill('a', ['0', '1', '2', '3']);
    const page = await read('?limit=2');
    expect(await remove(`?through=${page.json.next}`)).toMatchObject({ status: 200, json: { removed: 2 } });
    expect(payloads(await read())).toEqual(['2', '3']);
    // Cursors survive the removal of what they name.
    expect(payloads(await read(`?after=${page.json.next}`))).toEqual(['2', '3']);
    expect(await remove(`?through=${page.json.next}`)).toMatchObject({ status: 200, json: { removed: 0 } });
    expect((await bridge.request('GET', path)).json).toMatchObject({ queue: { depth: 2, dropped: 0 } });
  });

  it('removes only what matches a filter', async () => {
    await fill('a', ['a0']);
    await fill('b', ['b0']);
    await fill('a', ['a1', 'a2']);
    const { json } = await read();
    const cursor = json.messages[2]?.id ?? '';
    expect(await remove(`?through=${cursor}&topic=${id}/a`)).toMatchObject({ status: 200, json: { removed: 2 } });
    expect(payloads(await read())).toEqual(['b0', 'a2']);
  });

  it('needs to be told how far', async () => {
    await fill('a', ['0']);
    expect((await remove('')).status).toBe(400);
    expect(payloads(await read())).toEqual(['0']);
  });

  it('refuses a cursor that is not one of this queue', async () => {
    await fill('a', ['0']);
    const before = await read();
    const foreign = before.json.next ?? '';
    const first = path;
    id = `${id}x`;
    path = `/v1/connections/${id}`;
    await declare({});
    await fill('a', ['other']);
    for (const cursor of [foreign, 'nonsense', '-1', '999999999', `${foreign}x`]) {
      const reading = await read(`?after=${encodeURIComponent(cursor)}`);
      expect(reading.status, cursor).toBe(400);
      expect(reading.json).toMatchObject({ type: '/problems/invalid-cursor' });
      expect((await remove(`?through=${encodeURIComponent(cursor)}`)).status, cursor).toBe(400);
    }
    expect(payloads(await read())).toEqual(['other']);
    // Deleting and creating again gives a new key, to which the old cursors are foreign.
    expect((await bridge.request('DELETE', first)).status).toBe(204);
    path = first;
    id = id.slice(0, -1);
    await declare({});
    await fill('a', ['new']);
    expect((await read(`?after=${encodeURIComponent(foreign)}`)).status).toBe(400);
  });

  it('keeps cursors and messages over a restart of the bridge', async () => {
    await fill('a', ['0', '1']);
    const page = await read('?limit=1');
    await bridge.kill();
    await bridge.restart();
    expect(payloads(await read(`?after=${page.json.next}`))).toEqual(['1']);
    await expect
      .poll(async () => (await bridge.request('GET', path)).json, { timeout: 10_000 })
      .toMatchObject({ state: 'online' });
    await fill('a', ['2']);
    expect(payloads(await read(`?after=${page.json.next}`))).toEqual(['1', '2']);
  });
});

describe('limits', () => {
  it('drops the oldest over maxMessages, and counts them', async () => {
    await declare({ queue: { maxMessages: 3 } });
    const lines = Array.from({ length: 10 }, (_, index) => String(index));
    await mosquittoPub(broker, ['-t', `${id}/a`, '-q', '1', '-l'], { stdin: `${lines.join('\n')}\n` });
    await expect.poll(async () => payloads(await read())).toEqual(['7', '8', '9']);
    expect((await read()).json).toMatchObject({ dropped: 7, remaining: 0 });
    expect((await bridge.request('GET', path)).json).toMatchObject({ queue: { depth: 3, dropped: 7 } });
  });

  it('applies a lower limit to what is in the queue already', async () => {
    await fill('a', ['0', '1', '2', '3']);
    await declare({ queue: { maxMessages: 2 } });
    await mosquittoPub(broker, ['-t', `${id}/a`, '-m', '4', '-q', '1']);
    await expect.poll(async () => payloads(await read())).toEqual(['3', '4']);
  });

  it('drops the oldest over maxBytes', async () => {
    await declare({ queue: { maxBytes: 4_000 } });
    const lines = Array.from({ length: 5 }, (_, index) => String(index).repeat(1_500));
    await mosquittoPub(broker, ['-t', `${id}/a`, '-q', '1', '-l'], { stdin: `${lines.join('\n')}\n` });
    await expect.poll(async () => (await read()).json.dropped).toBe(3);
    expect(payloads(await read())).toEqual(lines.slice(3));
  });

  it('keeps a record of what was longer than MAX_PAYLOAD, and goes on', async () => {
    await mosquittoPub(broker, ['-t', `${id}/a`, '-q', '1', '-s'], { stdin: 'x'.repeat(MAX_PAYLOAD + 1) });
    await mosquittoPub(broker, ['-t', `${id}/a`, '-m', 'next', '-q', '1']);
    await expect.poll(async () => payloads(await read())).toEqual([null, 'next']);
    expect((await read()).json.messages[0]).toMatchObject({ oversize: MAX_PAYLOAD + 1, topic: `${id}/a` });
  });

  it('lets go of what is older than maxAge', async () => {
    await declare({ queue: { maxAge: 1 } });
    await mosquittoPub(broker, ['-t', `${id}/a`, '-m', 'old', '-q', '1']);
    await expect.poll(async () => payloads(await read())).toEqual(['old']);
    await expect.poll(async () => payloads(await read()), { timeout: 5_000 }).toEqual([]);
    expect((await read()).json.dropped).toBe(1);
  });
});
