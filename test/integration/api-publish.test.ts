import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoSub } from '../helpers/mosquitto-clients.ts';

const MAX_PAYLOAD = 4096;

let broker: Mosquitto;
let bridge: BridgeProcess;

beforeAll(async () => {
  broker = await startMosquitto();
  bridge = await startBridgeProcess({ env: { MQTT_URL: broker.url, MAX_PAYLOAD: String(MAX_PAYLOAD) } });
  for (const [id, protocolVersion] of [
    ['five', '5.0'],
    ['four', '3.1.1'],
    ['three', '3.1'],
  ]) {
    expect((await bridge.request('PUT', `/v1/connections/${id}`, { json: { protocolVersion } })).json).toMatchObject({
      state: 'online',
    });
  }
});

afterAll(async () => {
  await bridge?.stop();
  await broker?.stop();
});

const WAYS = [
  { how: 'POST /v1/publish', path: '/v1/publish', isV5: true },
  { how: 'a Connection on 5.0', path: '/v1/connections/five/publish', isV5: true },
  { how: 'a Connection on 3.1.1', path: '/v1/connections/four/publish', isV5: false },
  { how: 'a Connection on 3.1', path: '/v1/connections/three/publish', isV5: false },
];

/** Has mosquitto_sub print `count` messages, as they arrive, in that format. */
async function judged(topic: string, count: number, format: string, act: () => Promise<void>): Promise<string[]> {
  const subscriber = await mosquittoSub(broker, [
    '-V',
    'mqttv5',
    '-q',
    '2',
    '-t',
    topic,
    '-C',
    String(count),
    '-F',
    format,
  ]);
  await act();
  const lines = await subscriber.waitForLines(count);
  await subscriber.exited;
  return lines;
}

describe.each(WAYS)('publishing with $how', ({ path, isV5 }) => {
  const publish = (json: unknown) => bridge.request(`POST`, path, { json });
  const topic = `p/${path.split('/').at(-2)}`;

  it.each([
    { qos: 0, status: 202 },
    { qos: 1, status: 200 },
    { qos: 2, status: 200 },
  ])('arrives at QoS $qos', async ({ qos, status }) => {
    const lines = await judged(topic, 1, '%t %q %r %p', async () => {
      const answer = await publish({ topic, payload: 'Grüße', qos });
      expect(answer.status).toBe(status);
      expect(answer.json).toEqual({ qos, reasonCode: 0, reason: expect.any(String), matched: null });
    });
    expect(lines).toEqual([`${topic} ${qos} 0 Grüße`]);
  });

  // Mosquitto 2.0 says so in PUBACK only, never in PUBREC.
  it('tells at QoS 1 that nobody listens, where the broker does', async () => {
    const answer = await publish({ topic: `${topic}/nobody`, payload: '', qos: 1 });
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject(isV5 ? { reasonCode: 0x10, matched: false } : { reasonCode: 0, matched: null });
  });

  it.each([
    { encoding: undefined, payload: 'plain ☃', hex: Buffer.from('plain ☃').toString('hex') },
    { encoding: 'utf8', payload: 'a\nb', hex: '610a62' },
    { encoding: 'base64', payload: 'AP+A', hex: '00ff80' },
    { encoding: 'json', payload: { a: [1, null, 'ü'] }, hex: Buffer.from('{"a":[1,null,"ü"]}').toString('hex') },
    { encoding: 'json', payload: 'text', hex: Buffer.from('"text"').toString('hex') },
    { encoding: 'json', payload: null, hex: Buffer.from('null').toString('hex') },
    { encoding: undefined, payload: undefined, hex: '' },
    { encoding: 'utf8', payload: '', hex: '' },
  ])('writes the payload $payload ($encoding) as it is', async ({ encoding, payload, hex }) => {
    const lines = await judged(topic, 1, '<%x>', async () => {
      expect((await publish({ topic, payload, encoding, qos: 1 })).status).toBe(200);
    });
    expect(lines).toEqual([`<${hex}>`]);
  });

  it('does not fail a whole batch for one bad item, and keeps its order', async () => {
    const items = [
      { topic, payload: '1', qos: 1 },
      { topic: 'a/+', payload: '2', qos: 1 },
      { topic, payload: '3', qos: 0 },
      { topic, payload: 'x'.repeat(MAX_PAYLOAD + 1), qos: 1 },
      { topic, payload: '4', qos: 2 },
      { payload: 'no topic' },
      { topic, payload: '5', qos: 1, surprise: true },
      { topic, payload: '6', qos: 2 },
    ];
    const lines = await judged(topic, 4, '%p', async () => {
      const answer = await publish(items);
      expect(answer.status).toBe(200);
      expect(answer.json).toEqual({
        results: [
          { qos: 1, reasonCode: 0, reason: expect.any(String), matched: null },
          expect.objectContaining({ status: 400, type: '/problems/invalid-request', title: expect.any(String) }),
          expect.objectContaining({ qos: 0, matched: null }),
          expect.objectContaining({ status: 413, type: '/problems/payload-too-large' }),
          expect.objectContaining({ qos: 2 }),
          expect.objectContaining({ status: 400 }),
          expect.objectContaining({ status: 400 }),
          expect.objectContaining({ qos: 2 }),
        ],
      });
    });
    // Order is per QoS and topic: a QoS 2 message is delivered at the end of its exchange.
    expect(lines.toSorted()).toEqual(['1', '3', '4', '6']);
    expect(lines.indexOf('4')).toBeLessThan(lines.indexOf('6'));
  });

  it('keeps the order of a large batch', async () => {
    const payloads = Array.from({ length: 300 }, (_, index) => String(index));
    const lines = await judged(topic, payloads.length, '%p', async () => {
      expect((await publish(payloads.map((payload) => ({ topic, payload, qos: 1 })))).status).toBe(200);
    });
    expect(lines).toEqual(payloads);
  });

  it('sends a payload of MAX_PAYLOAD, and refuses a longer one', async () => {
    const lines = await judged(topic, 1, '%l', async () => {
      const longer = await publish({ topic, payload: 'x'.repeat(MAX_PAYLOAD + 1), qos: 1 });
      expect(longer.status).toBe(413);
      expect(longer.json).toMatchObject({ type: '/problems/payload-too-large' });
      const bytes = Buffer.alloc(MAX_PAYLOAD, 0xff).toString('base64');
      expect((await publish({ topic, payload: bytes, encoding: 'base64', qos: 1 })).status).toBe(200);
    });
    expect(lines).toEqual([String(MAX_PAYLOAD)]);
  });

  it('retains', async () => {
    expect((await publish({ topic: `${topic}/kept`, payload: 'kept', qos: 1, retain: true })).status).toBe(200);
    const late = await mosquittoSub(broker, ['-t', `${topic}/kept`, '--retained-only', '-C', '1', '-F', '%r %p']);
    expect(await late.waitForLines(1)).toEqual(['1 kept']);
    await late.exited;
  });

  it.each([
    { what: 'no topic', message: { payload: '' }, pointer: '/topic' },
    { what: 'an empty topic', message: { topic: '' }, pointer: '/topic' },
    { what: 'a wildcard', message: { topic: 'a/#' }, pointer: '/topic' },
    { what: 'a QoS that is none', message: { topic: 'a', qos: 3 }, pointer: '/qos' },
    { what: 'no base64', message: { topic: 'a', payload: '*', encoding: 'base64' }, pointer: '/payload' },
    { what: 'a number as text', message: { topic: 'a', payload: 5 }, pointer: '/payload' },
    { what: 'a lone surrogate', message: { topic: 'a', payload: '\ud800' }, pointer: '/payload' },
    { what: 'an unknown member', message: { topic: 'a', retained: true }, pointer: '/retained' },
    {
      what: 'an unknown property',
      message: { topic: 'a', properties: { topicAlias: 1 } },
      pointer: '/properties/topicAlias',
    },
  ])('refuses $what', async ({ message, pointer }) => {
    const answer = await publish(message);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ type: '/problems/invalid-request', errors: [{ pointer }] });
  });

  const properties = {
    payloadFormatIndicator: 1,
    messageExpiryInterval: 120,
    contentType: 'text/x-test',
    responseTopic: 'answers/here',
    correlationData: Buffer.from('correlated').toString('base64'),
    userProperties: { one: 'a b', many: ['x', 'y'] },
  };

  const sendsProperties = async () => {
    const lines = await judged(topic, 1, '%F|%E|%C|%R|%D|%P|%p', async () => {
      expect((await publish({ topic, payload: 'p', qos: 1, properties })).status).toBe(200);
    });
    const [line = ''] = lines;
    const [format, expiry, contentType, responseTopic, correlationData, user, payload] = line.split('|');
    expect({ format, contentType, responseTopic, correlationData, payload }).toEqual({
      format: '1',
      contentType: 'text/x-test',
      responseTopic: 'answers/here',
      correlationData: 'correlated',
      payload: 'p',
    });
    expect(Number(expiry)).toBeGreaterThan(110);
    expect(Number(expiry)).toBeLessThanOrEqual(120);
    expect(user).toBe('one:a b many:x many:y');
  };

  const explainsProperties = async () => {
    const answer = await publish({ topic, payload: 'p', properties });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({
      errors: expect.arrayContaining([expect.objectContaining({ pointer: expect.stringMatching(/^\/properties/) })]),
    });
  };

  if (isV5) it('sends every property of PUBLISH', sendsProperties);
  else it('explains that 3.x has no properties', explainsProperties);
});

describe('publishing while the broker is away', () => {
  it.each([1, 2])('says at QoS %i that the outcome is unknown when the broker does not answer in time', async (qos) => {
    broker.signal('SIGSTOP');
    try {
      const json = { topic: 'frozen', payload: 'x', qos, timeout: 0.5 };
      const answer = await bridge.request('POST', '/v1/connections/five/publish', { json });
      expect(answer.status).toBe(504);
      expect(answer.json).toMatchObject({ type: '/problems/outcome-unknown' });
    } finally {
      broker.signal('SIGCONT');
    }
    const json = { topic: 'thawed', payload: 'x', qos };
    expect((await bridge.request('POST', '/v1/connections/five/publish', { json })).status).toBe(200);
  });

  it('waits for it up to the timeout, then says that it cannot be reached; and goes on when it is back', async () => {
    await broker.stop();
    const publish = (timeout: number) =>
      bridge.request('POST', '/v1/connections/five/publish', {
        json: { topic: 'back', payload: 'again', qos: 1, timeout },
      });
    const failed = await publish(0.5);
    expect(failed.status).toBe(502);
    expect(failed.json).toMatchObject({ type: '/problems/broker-unreachable' });
    const waiting = publish(20);
    await broker.start();
    expect((await waiting).status).toBe(200);
    expect((await bridge.request('POST', '/v1/publish', { json: { topic: 'back', qos: 1, timeout: 20 } })).status).toBe(
      200,
    );
  });
});
