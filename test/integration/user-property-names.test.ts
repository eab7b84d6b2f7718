import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestBridge, valid } from '../helpers/bridge.ts';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { startScriptedBroker } from '../helpers/scripted-broker.ts';

/** MQTT has no special names: what JavaScript makes of these is none of its business. */
const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', 'length', ''];
/** As JSON, because an object literal with `__proto__` means something else. */
const WRITTEN = `{${NAMES.map((name) => `${JSON.stringify(name)}: ["2", "1", "2"]`).join(', ')}}`;
const EXPECTED = NAMES.map((name) => [name, ['2', '1', '2']]);

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

const post = <T>(method: string, path: string, body: string) =>
  bridge.request<T>(method, path, { body, headers: { 'content-type': 'application/json' } });

describe('names of User Properties', () => {
  it('reach an independent client, in their order per name', async () => {
    const subscriber = await mosquittoSub(broker, ['-V', '5', '-t', 'names/out', '-C', '1', '-F', '%P']);
    const body = `{"topic": "names/out", "qos": 1, "properties": {"userProperties": ${WRITTEN}}}`;
    expect((await post('POST', '/v1/publish', body)).status).toBe(200);
    const [line = ''] = await subscriber.waitForLines(1);
    for (const name of NAMES) {
      const values = [...line.matchAll(/(\S*):(\d)/g)].flatMap(([, own, value]) => (own === name ? [value] : []));
      expect([name, values]).toEqual([name, ['2', '1', '2']]);
    }
  });

  it('come from an independent client into the queue', async () => {
    await post('PUT', '/v1/connections/names', '{"subscriptions": [{"filter": "names/in", "qos": 1}]}');
    const properties = NAMES.flatMap((name) =>
      ['2', '1', '2'].flatMap((value) => ['-D', 'publish', 'user-property', name, value]),
    );
    await mosquittoPub(broker, ['-V', '5', '-t', 'names/in', '-q', '1', '-m', 'x', ...properties]);
    type Page = { messages: { properties: { userProperties: object } }[] };
    const { json } = await bridge.request<Page>('GET', '/v1/connections/names/messages?wait=10');
    expect(Object.entries(json.messages[0]?.properties.userProperties ?? {})).toEqual(EXPECTED);
  });

  it('are kept in the document of a Connection', async () => {
    const document = `{"properties": {"userProperties": ${WRITTEN}}, "will": {"topic": "w", "userProperties": ${WRITTEN}}}`;
    expect((await post('PUT', '/v1/connections/kept', document)).status).toBe(201);
    type View = { parameters: { properties: { userProperties: object }; will: { userProperties: object } } };
    const { parameters } = (await bridge.request<View>('GET', '/v1/connections/kept')).json;
    expect(Object.entries(parameters.properties.userProperties)).toEqual(EXPECTED);
    expect(Object.entries(parameters.will.userProperties)).toEqual(EXPECTED);
    // The same document again is no change.
    expect((await post('PUT', '/v1/connections/kept', document)).status).toBe(200);
    expect(broker.log().match(/New client connected from \S+ as kept /g)).toHaveLength(1);
  });

  it('go into CONNECT and its Will', async () => {
    const scripted = await startScriptedBroker();
    const local = await createTestBridge({ url: scripted.url });
    try {
      const userProperties: unknown = JSON.parse(WRITTEN);
      const opening = local.declareConnection(
        'a',
        valid({ clientId: 'a', properties: { userProperties }, will: { topic: 'w', userProperties } }),
      );
      const connection = await scripted.nextConnection();
      const { properties, will } = await connection.accept();
      expect(Object.entries(properties?.userProperties ?? {})).toEqual(EXPECTED);
      expect(Object.entries(will?.properties?.userProperties ?? {})).toEqual(EXPECTED);
      await opening;
    } finally {
      await local.end();
      await scripted.stop();
    }
  });
});

it('a payload of JSON keeps such names too', async () => {
  const subscriber = await mosquittoSub(broker, ['-t', 'names/json', '-C', '1']);
  const payload = '{"__proto__":{"constructor":{"prototype":1}}}';
  await post('POST', '/v1/publish', `{"topic": "names/json", "qos": 1, "encoding": "json", "payload": ${payload}}`);
  expect(await subscriber.waitForLines(1)).toEqual([payload]);
});

it.each([
  ['at the top', '{"__proto__": {"clientId": "x"}}', '/__proto__'],
  ['escaped', '{"\\u005f\\u005Fproto__": 1}', '/__proto__'],
  ['inside', '{"subscriptions": [{"filter": "a"}, {"filter": "b", "__proto__": {}}]}', '/subscriptions/1/__proto__'],
  ['of the Will', '{"will": {"topic": "a", "__proto__": {"qos": 1}}}', '/will/__proto__'],
  ['a constructor', '{"constructor": {"prototype": {"clientId": "x"}}}', '/constructor'],
])('is no member of a document: %s', async (_where, document, pointer) => {
  const answer = await post('PUT', '/v1/connections/poisoned', document);
  expect(answer.status).toBe(400);
  const name = pointer.split('/').at(-1);
  expect(answer.json).toMatchObject({
    type: '/problems/invalid-request',
    errors: [{ pointer, detail: `There is no member "${name}" here.` }],
  });
});
