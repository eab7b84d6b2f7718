import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Problem } from '../../src/errors/problem.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type DecodedConnect, decodeConnect, packetLength } from '../helpers/connect-decoder.ts';
import { until } from '../helpers/until.ts';

/**
 * Every connection parameter, from the document to the bytes: one row each, judged by a decoder that shares nothing
 * with the bridge. A row names only what differs from a document that says nothing; all the rest of the packet has to
 * be as it is without it.
 */

type Version = '5.0' | '3.1.1' | '3.1';

const ALL: readonly Version[] = ['5.0', '3.1.1', '3.1'];
const V3: readonly Version[] = ['3.1.1', '3.1'];
const V5: readonly Version[] = ['5.0'];
const PROTOCOL = { '5.0': ['MQTT', 5], '3.1.1': ['MQTT', 4], '3.1': ['MQIsdp', 3] } as const;

const MAX = 65_535;
const MAX_32 = 0xffff_ffff;
const longest = 'x'.repeat(MAX);
/** As many bytes, in characters of two, three and four bytes. */
const longestUnicode = `${'é'.repeat(30_000)}${'€'.repeat(1_000)}${'😀'.repeat(633)}xyz`;
const tooLong = `${longest}x`;
/** Every byte value, and nothing that is UTF-8. */
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => 255 - byte));
const mostBytes = Buffer.alloc(MAX, allBytes);
const base64 = (bytes: Buffer) => bytes.toString('base64');

interface Row {
  readonly what: string;
  readonly versions: readonly Version[];
  readonly document: Readonly<Record<string, unknown>>;
  /** Beside the packet of a document that says nothing; `properties` are merged with its own. */
  readonly wire: Partial<DecodedConnect>;
}

/** What a document that says nothing is on the wire. */
function bare(version: Version, clientId: string): DecodedConnect {
  const [protocolName, protocolLevel] = PROTOCOL[version];
  const properties = version === '5.0' ? { properties: {} } : {};
  return { protocolName, protocolLevel, cleanStart: true, keepAlive: 60, clientId, ...properties };
}

const clientIds: readonly Row[] = [
  ...[
    ['of one byte', 'a', ALL],
    ['of 23 bytes', 'abcdefghijklmnopqrstuvw', ALL],
    ['of 24 bytes', 'abcdefghijklmnopqrstuvwx', ['5.0', '3.1.1']],
    ['with what a path, a URL or a topic would give a meaning', 'a/../b%2F~?c=#+$', ALL],
    ['of blanks', '  ', ALL],
    ['beyond ASCII', 'Grüße-工場-😀', ALL],
    ['with a byte order mark, which is not taken off', '\ufeffbom', ALL],
    ['of 65,535 bytes', longest, ['5.0', '3.1.1']],
    ['of 65,535 bytes beyond ASCII', longestUnicode, ['5.0', '3.1.1']],
  ].map(([what, clientId, versions]) => ({
    what: `clientId ${what}`,
    versions: versions as Version[],
    document: { clientId },
    wire: { clientId: clientId as string },
  })),
];

const PASSWORDS: readonly [string, unknown, Buffer][] = [
  ['as text', 'p', Buffer.from('p')],
  ['""', '', Buffer.alloc(0)],
  ['beyond ASCII', 'pässword-😀', Buffer.from('pässword-😀')],
  ['with NUL, which Binary Data may have', 'a\0b', Buffer.from('a\0b')],
  ['of bytes that are no text', { base64: base64(allBytes) }, allBytes],
  ['of no bytes', { base64: '' }, Buffer.alloc(0)],
  ['of 65,535 bytes of text', longestUnicode, Buffer.from(longestUnicode)],
  ['of 65,535 bytes', { base64: base64(mostBytes) }, mostBytes],
];

const credentials: readonly Row[] = [
  { what: 'username', versions: ALL, document: { username: 'u' }, wire: { username: 'u' } },
  { what: 'username ""', versions: ALL, document: { username: '' }, wire: { username: '' } },
  {
    what: 'username beyond ASCII',
    versions: ALL,
    document: { username: 'jürgen@工場' },
    wire: { username: 'jürgen@工場' },
  },
  { what: 'the longest username', versions: ALL, document: { username: longest }, wire: { username: longest } },
  ...PASSWORDS.flatMap(([what, password, bytes]) => [
    {
      what: `password ${what}`,
      versions: ALL,
      document: { username: 'u', password },
      wire: { username: 'u', password: bytes },
    },
    {
      what: `password ${what} without a user name`,
      versions: V5,
      document: { password },
      wire: { password: bytes },
    },
    {
      what: `password ${what} without a user name, after a Will`,
      versions: V5,
      document: { password, will: { topic: 'w', payload: 'gone' } },
      wire: {
        password: bytes,
        will: { topic: 'w', payload: Buffer.from('gone'), qos: 0, retain: false, properties: {} },
      },
    },
  ]),
  {
    what: 'username "" and password ""',
    versions: ALL,
    document: { username: '', password: '' },
    wire: { username: '', password: Buffer.alloc(0) },
  },
];

const sessions: readonly Row[] = [
  ...[0, 1, 59, 255, 256, MAX].map((keepAlive) => ({
    what: `keepAlive ${keepAlive}`,
    versions: ALL,
    document: { keepAlive },
    wire: { keepAlive },
  })),
  { what: 'cleanStart true', versions: V5, document: { cleanStart: true }, wire: { cleanStart: true } },
  { what: 'cleanStart false', versions: V5, document: { cleanStart: false }, wire: { cleanStart: false } },
  { what: 'cleanSession true', versions: V3, document: { cleanSession: true }, wire: { cleanStart: true } },
  { what: 'cleanSession false', versions: V3, document: { cleanSession: false }, wire: { cleanStart: false } },
  ...(
    [
      [0, 0, true],
      [1, 1, false],
      [86_400, 86_400, false],
      [MAX_32 - 1, MAX_32 - 1, false],
    ] as const
  )
    .concat([[MAX_32, MAX_32, false]] as never)
    .map(([sessionExpiryInterval, seconds, cleanStart]) => ({
      what: `sessionExpiryInterval ${sessionExpiryInterval}`,
      versions: V5,
      document: { sessionExpiryInterval },
      wire: { cleanStart, properties: { sessionExpiryInterval: seconds } },
    })),
  {
    what: 'sessionExpiryInterval "never"',
    versions: V5,
    document: { sessionExpiryInterval: 'never' },
    wire: { cleanStart: false, properties: { sessionExpiryInterval: MAX_32 } },
  },
  {
    what: 'cleanStart true with a session that is kept',
    versions: V5,
    document: { cleanStart: true, sessionExpiryInterval: 60 },
    wire: { properties: { sessionExpiryInterval: 60 } },
  },
];

const EMPTY = Buffer.alloc(0);
/** A Will Topic, and the Will that says no more, on the wire of each version. */
const plainWill = (version: Version) => ({
  topic: 'w',
  payload: EMPTY,
  qos: 0,
  retain: false,
  ...(version === '5.0' ? { properties: {} } : {}),
});

interface WillRow {
  readonly what: string;
  readonly versions: readonly Version[];
  readonly will: Readonly<Record<string, unknown>>;
  readonly wire: Partial<DecodedConnect['will']>;
}

const wills: readonly WillRow[] = [
  { what: 'a topic alone', versions: ALL, will: {}, wire: {} },
  {
    what: 'a topic beyond ASCII, with empty levels',
    versions: ALL,
    will: { topic: '/ü//工場/' },
    wire: { topic: '/ü//工場/' },
  },
  { what: 'the longest topic', versions: ALL, will: { topic: longest }, wire: { topic: longest } },
  ...[0, 1, 2].flatMap((qos) =>
    [false, true].map((retain) => ({
      what: `QoS ${qos}, retain ${retain}`,
      versions: ALL,
      will: { qos, retain },
      wire: { qos, retain },
    })),
  ),
  ...[
    ['of text', { payload: 'gone' }, Buffer.from('gone')],
    ['of text beyond ASCII', { payload: 'früh 😀', encoding: 'utf8' }, Buffer.from('früh 😀')],
    ['""', { payload: '' }, EMPTY],
    ['of bytes that are no text', { payload: base64(allBytes), encoding: 'base64' }, allBytes],
    ['of no bytes', { payload: '', encoding: 'base64' }, EMPTY],
    ['of JSON', { payload: { on: [1, null, 'é'] }, encoding: 'json' }, Buffer.from('{"on":[1,null,"é"]}')],
    ['of the JSON null', { payload: null, encoding: 'json' }, Buffer.from('null')],
    ['of 65,535 bytes of text', { payload: longestUnicode }, Buffer.from(longestUnicode)],
    ['of 65,535 bytes', { payload: base64(mostBytes), encoding: 'base64' }, mostBytes],
  ].map(([what, will, payload]) => ({
    what: `payload ${what}`,
    versions: ALL,
    will: will as object as Record<string, unknown>,
    wire: { payload: payload as Buffer },
  })),
  ...[
    ['delayInterval', 'willDelayInterval', [0, 1, MAX_32]],
    ['messageExpiryInterval', 'messageExpiryInterval', [0, 60, MAX_32]],
    ['payloadFormatIndicator', 'payloadFormatIndicator', [0, 1]],
    ['contentType', 'contentType', ['', 'text/plain', longest]],
    ['responseTopic', 'responseTopic', ['r/é', longest]],
  ].flatMap(([member, name, values]) =>
    (values as (number | string)[]).map((value) => ({
      what: `${member} ${brief(value)}`,
      versions: V5,
      will: { [member as string]: value },
      wire: { properties: { [name as string]: value } },
    })),
  ),
  ...[EMPTY, allBytes, mostBytes].map((bytes) => ({
    what: `correlationData of ${bytes.length} bytes`,
    versions: V5,
    will: { correlationData: base64(bytes) },
    wire: { properties: { correlationData: bytes } },
  })),
  {
    what: 'userProperties with repeated names, their order kept per name',
    versions: V5,
    will: { userProperties: { b: ['2', '1', '2'], a: 'x', '': '' } },
    wire: {
      properties: {
        userProperties: [
          ['b', '2'],
          ['b', '1'],
          ['b', '2'],
          ['a', 'x'],
          ['', ''],
        ],
      },
    },
  },
];

const properties: readonly Row[] = (
  [
    ['receiveMaximum 1', { receiveMaximum: 1 }, { receiveMaximum: 1 }],
    ['receiveMaximum 65535', { receiveMaximum: MAX }, { receiveMaximum: MAX }],
    // As long as the shortest CONNACK.
    ['maximumPacketSize 5', { maximumPacketSize: 5 }, { maximumPacketSize: 5 }],
    ['maximumPacketSize 4294967295', { maximumPacketSize: MAX_32 }, { maximumPacketSize: MAX_32 }],
    ['requestResponseInformation true', { requestResponseInformation: true }, { requestResponseInformation: 1 }],
    ['requestResponseInformation false', { requestResponseInformation: false }, { requestResponseInformation: 0 }],
    ['requestProblemInformation true', { requestProblemInformation: true }, { requestProblemInformation: 1 }],
    ['requestProblemInformation false', { requestProblemInformation: false }, { requestProblemInformation: 0 }],
    ['an authenticationMethod alone', { authenticationMethod: 'X' }, { authenticationMethod: 'X' }],
    ['the longest authenticationMethod', { authenticationMethod: longest }, { authenticationMethod: longest }],
    ...[Buffer.alloc(0), allBytes, mostBytes].map((bytes) => [
      `authenticationData of ${bytes.length} bytes`,
      { authenticationMethod: 'X', authenticationData: base64(bytes) },
      { authenticationMethod: 'X', authenticationData: bytes },
    ]),
    ['a User Property', { userProperties: { a: 'x' } }, { userProperties: [['a', 'x']] }],
    ['an empty User Property', { userProperties: { '': '' } }, { userProperties: [['', '']] }],
    [
      'repeated names, their order kept per name',
      { userProperties: { b: ['3', '1', '2'], a: ['x', 'x'] } },
      {
        userProperties: [
          ['b', '3'],
          ['b', '1'],
          ['b', '2'],
          ['a', 'x'],
          ['a', 'x'],
        ],
      },
    ],
    [
      'names that JavaScript gives a meaning',
      { userProperties: { constructor: ['c', 'd'], toString: 't' } },
      {
        userProperties: [
          ['constructor', 'c'],
          ['constructor', 'd'],
          ['toString', 't'],
        ],
      },
    ],
    [
      'the longest name and value',
      { userProperties: { [longest]: longestUnicode } },
      { userProperties: [[longest, longestUnicode]] },
    ],
    [
      'a thousand User Properties',
      { userProperties: { n: Array.from({ length: 1000 }, (_, index) => `${index}`) } },
      { userProperties: Array.from({ length: 1000 }, (_, index) => ['n', `${index}`]) },
    ],
  ] as [string, object, DecodedConnect['properties']][]
).map(([what, given, wire]) => ({
  what: `properties: ${what}`,
  versions: V5,
  document: { properties: given },
  wire: { properties: wire ?? {} },
}));

const together: readonly Row[] = [
  {
    what: 'everything at once, as long as it can be',
    versions: V5,
    document: {
      clientId: `${longest.slice(1)}y`,
      username: longestUnicode,
      password: { base64: base64(mostBytes) },
      keepAlive: MAX,
      sessionExpiryInterval: 'never',
      will: {
        topic: longest,
        payload: base64(mostBytes),
        encoding: 'base64',
        qos: 2,
        retain: true,
        contentType: longest,
      },
      properties: { receiveMaximum: MAX, userProperties: { a: [longest, longest] } },
    },
    wire: {
      clientId: `${longest.slice(1)}y`,
      cleanStart: false,
      username: longestUnicode,
      password: mostBytes,
      keepAlive: MAX,
      will: { topic: longest, payload: mostBytes, qos: 2, retain: true, properties: { contentType: longest } },
      properties: {
        sessionExpiryInterval: MAX_32,
        receiveMaximum: MAX,
        userProperties: [
          ['a', longest],
          ['a', longest],
        ],
      },
    },
  },
];

const ROWS: readonly Row[] = [
  { what: 'nothing', versions: ALL, document: {}, wire: {} },
  ...clientIds,
  ...credentials,
  ...sessions,
  ...wills.flatMap(({ what, versions, will, wire }) =>
    versions.map((version) => ({
      what: `will: ${what}`,
      versions: [version],
      document: { will: { topic: 'w', ...will } },
      wire: { will: { ...plainWill(version), ...wire } },
    })),
  ),
  ...properties,
  ...together,
];

interface Refusal {
  readonly what: string;
  readonly versions: readonly Version[];
  readonly document: Readonly<Record<string, unknown>>;
  readonly pointer: string;
}

const refused = (
  versions: readonly Version[],
  pointer: string,
  ...documents: readonly Readonly<Record<string, unknown>>[]
): Refusal[] =>
  documents.map((document) => ({ what: `${pointer} of ${brief(document)}`, versions, document, pointer }));
/** Each value as the member of the Will, beside its topic. */
const willWith = (member: string, ...values: readonly unknown[]) =>
  values.map((value) => ({ will: { topic: 'w', [member]: value } }));
const propertiesWith = (member: string, ...values: readonly unknown[]) =>
  values.map((value) => ({ properties: { [member]: value } }));
const each = (member: string, ...values: readonly unknown[]) => values.map((value) => ({ [member]: value }));

const tooManyBytes = base64(Buffer.alloc(MAX + 1));
const NO_STRINGS = ['\0', 'a\0b', '\ud800', tooLong, 7, null];

const REFUSALS: readonly Refusal[] = [
  ...refused(['5.0', '3.1.1'], '/clientId', ...each('clientId', ...NO_STRINGS)),
  ...refused(['3.1'], '/clientId', { clientId: 'abcdefghijklmnopqrstuvwx' }, { clientId: 'ü'.repeat(12) }),
  ...refused(V3, '/clientId', { clientId: '', cleanSession: false }),
  ...refused(ALL, '/protocolVersion', ...each('protocolVersion', '5', '4', 5, '3.0', null)),
  ...refused(ALL, '/username', ...each('username', ...NO_STRINGS)),
  ...refused(ALL, '/password', ...[tooLong, '\ud800', 7, null].map((password) => ({ username: 'u', password }))),
  ...refused(
    ALL,
    '/password/base64',
    ...[tooManyBytes, 'cA', 'c-A=', 'cA==\n'].map((text) => ({ username: 'u', password: { base64: text } })),
  ),
  ...refused(V3, '/password', { password: 'p' }, { password: '' }),
  ...refused(ALL, '/keepAlive', ...each('keepAlive', -1, MAX + 1, 1.5, '60', null)),
  ...refused(ALL, '/connectTimeout', ...each('connectTimeout', 0, 121, 1.5)),
  ...refused(V5, '/cleanStart', ...each('cleanStart', 1, 'true', null)),
  ...refused(V3, '/cleanSession', ...each('cleanSession', 0, 'true', null)),
  ...refused(V5, '/cleanSession', ...each('cleanSession', true, false)),
  ...refused(V3, '/cleanStart', ...each('cleanStart', true, false)),
  ...refused(V5, '/sessionExpiryInterval', ...each('sessionExpiryInterval', -1, MAX_32 + 1, 0.5, 'for ever', null)),
  ...refused(V3, '/sessionExpiryInterval', ...each('sessionExpiryInterval', 0, 60, 'never')),
  ...refused(ALL, '/will/topic', { will: {} }, ...willWith('topic', '', 'a/+', '#', ...NO_STRINGS)),
  ...refused(ALL, '/will/payload', ...willWith('payload', tooLong, '\ud800', 7, { a: 1 })),
  ...refused(
    ALL,
    '/will/payload',
    ...[tooManyBytes, 'c-A='].map((payload) => ({ will: { topic: 'w', payload, encoding: 'base64' } })),
    { will: { topic: 'w', payload: longest, encoding: 'json' } },
  ),
  ...refused(ALL, '/will/encoding', ...willWith('encoding', 'hex', null)),
  ...refused(ALL, '/will/qos', ...willWith('qos', -1, 3, '1', null)),
  ...refused(ALL, '/will/retain', ...willWith('retain', 1, 'true', null)),
  ...refused(ALL, '/will/unknown', ...willWith('unknown', 1)),
  ...refused(V5, '/will/delayInterval', ...willWith('delayInterval', -1, MAX_32 + 1, 0.5, 'never')),
  ...refused(V5, '/will/messageExpiryInterval', ...willWith('messageExpiryInterval', -1, MAX_32 + 1, 0.5)),
  ...refused(V5, '/will/payloadFormatIndicator', ...willWith('payloadFormatIndicator', -1, 2, true), {
    will: { topic: 'w', payload: base64(allBytes), encoding: 'base64', payloadFormatIndicator: 1 },
  }),
  ...refused(V5, '/will/contentType', ...willWith('contentType', ...NO_STRINGS)),
  ...refused(V5, '/will/responseTopic', ...willWith('responseTopic', '', 'a/#', ...NO_STRINGS)),
  ...refused(V5, '/will/correlationData', ...willWith('correlationData', tooManyBytes, 'c-A=', 7)),
  ...refused(V5, '/will/userProperties/a', ...willWith('userProperties', { a: tooLong }, { a: '\0' }, { a: 7 })),
  ...refused(V5, '/will/userProperties/a/1', ...willWith('userProperties', { a: ['x', tooLong] }, { a: ['x', '\0'] })),
  ...refused(V5, `/will/userProperties/${tooLong}`, ...willWith('userProperties', { [tooLong]: 'x' })),
  ...refused(V5, '/properties/receiveMaximum', ...propertiesWith('receiveMaximum', 0, MAX + 1, 1.5)),
  ...refused(V5, '/properties/maximumPacketSize', ...propertiesWith('maximumPacketSize', 0, MAX_32 + 1, 1.5)),
  ...refused(V5, '/properties/requestResponseInformation', ...propertiesWith('requestResponseInformation', 0, 1)),
  ...refused(V5, '/properties/requestProblemInformation', ...propertiesWith('requestProblemInformation', 0, 1)),
  ...refused(V5, '/properties/userProperties/a~1b', ...propertiesWith('userProperties', { 'a/b': tooLong })),
  ...refused(V5, '/properties/userProperties/a/0', ...propertiesWith('userProperties', { a: ['\ud800'] })),
  ...refused(V5, '/properties/authenticationMethod', ...propertiesWith('authenticationMethod', ...NO_STRINGS)),
  ...refused(
    V5,
    '/properties/authenticationData',
    ...[tooManyBytes, 'c-A=', 7].map((authenticationData) => ({
      properties: { authenticationMethod: 'X', authenticationData },
    })),
    ...propertiesWith('authenticationData', 'cA=='),
  ),
  ...refused(V3, '/properties/authenticationMethod', ...propertiesWith('authenticationMethod', 'X')),
  ...refused(V5, '/properties/topicAliasMaximum', ...propertiesWith('topicAliasMaximum', 0, 10)),
  ...['delayInterval', 'messageExpiryInterval', 'payloadFormatIndicator'].flatMap((member) =>
    refused(V3, `/will/${member}`, ...willWith(member, 0)),
  ),
  ...['contentType', 'responseTopic', 'correlationData'].flatMap((member) =>
    refused(V3, `/will/${member}`, ...willWith(member, 'cA==')),
  ),
  ...refused(V3, '/will/userProperties', ...willWith('userProperties', {})),
  ...['receiveMaximum', 'maximumPacketSize'].flatMap((member) =>
    refused(V3, `/properties/${member}`, ...propertiesWith(member, 10)),
  ),
  ...['requestResponseInformation', 'requestProblemInformation'].flatMap((member) =>
    refused(V3, `/properties/${member}`, ...propertiesWith(member, false)),
  ),
  ...refused(V3, '/properties/userProperties', ...propertiesWith('userProperties', {})),
];

let recorder: Recorder;
let bridge: TestBridge;
const opened: string[] = [];

beforeAll(async () => {
  recorder = await startRecorder();
  bridge = await createTestBridge({ url: recorder.url });
});

afterEach(async () => {
  for (const id of opened.splice(0)) await bridge.deleteConnection(id, { session: 'keep', will: null });
  recorder.forget();
});

afterAll(async () => {
  await bridge?.end();
  await recorder?.stop();
});

/** Opens it at the broker that writes down, and answers what its CONNECT says. */
async function connectOf(document: object): Promise<DecodedConnect> {
  const { connection } = await bridge.openConnection(valid(document));
  opened.push(connection.id);
  return decodeConnect(await recorder.next());
}

const inEachVersion = <R extends { readonly versions: readonly Version[] }>(rows: readonly R[]) =>
  rows.flatMap((row, index) => row.versions.map((version) => ({ ...row, version, id: `${index}v${version}` })));

describe('the decoder', () => {
  const whole = Buffer.from('101800044d5154540506003c0321001400016300000177000178', 'hex');

  it('reads what is whole', () => {
    const will = { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false, properties: {} };
    const plain = { protocolName: 'MQTT', protocolLevel: 5, cleanStart: true, keepAlive: 60, clientId: 'c', will };
    expect(decodeConnect(whole)).toStrictEqual({ ...plain, properties: { receiveMaximum: 20 } });
  });

  it.each([
    ['another packet', 0, 0x30],
    ['another length', 1, 0x19],
    ['another protocol', 4, 0x58],
    ['another level', 8, 6],
    ['the reserved flag', 9, 0x07],
    ['Will QoS 3', 9, 0x1e],
    ['Will QoS without a Will', 9, 0x0a],
    ['a user name that is not there', 9, 0x86],
    ['a property that is not there', 13, 0x7f],
  ])('does not read %s', (_what, at, byte) => {
    const packet = Buffer.from(whole);
    packet[at] = byte;
    expect(() => decodeConnect(packet)).toThrow();
  });
});

describe('on the wire', () => {
  it.each(inEachVersion(ROWS))('$version, $what', async ({ version, id, document, wire }) => {
    const plain = bare(version, id);
    const expected = { ...plain, ...wire };
    const merged = { ...plain.properties, ...wire.properties };
    const connect = await connectOf({ id, protocolVersion: version, ...document });
    expect(connect).toStrictEqual(version === '5.0' ? { ...expected, properties: merged } : expected);
  });
});

describe('refused before anything is sent', () => {
  it.each(inEachVersion(REFUSALS))('$version, $what', ({ version, id, document, pointer }) => {
    const attempt = () => valid({ id, protocolVersion: version, ...document });
    let refusal: unknown;
    try {
      attempt();
    } catch (error) {
      refusal = error;
    }
    if (!(refusal instanceof Problem)) throw new Error('it was not refused', { cause: refusal });
    expect(refusal.status).toBe(400);
    expect(refusal.details.errors?.map((fault) => fault.pointer)).toEqual([pointer]);
  });
});

describe('at a reconnect', () => {
  it.each([
    { version: '5.0', document: { cleanStart: true, sessionExpiryInterval: 60 }, first: true, later: false },
    { version: '5.0', document: {}, first: true, later: false },
    { version: '3.1.1', document: { cleanSession: false }, first: false, later: false },
    { version: '3.1.1', document: {}, first: true, later: true },
    { version: '3.1', document: { cleanSession: false }, first: false, later: false },
    { version: '3.1', document: {}, first: true, later: true },
  ])('$version, $document: everything but Clean Start is said again', async ({ version, document, first, later }) => {
    const id = `again${version}${JSON.stringify(document).length}`;
    const all = {
      username: 'u',
      password: { base64: base64(allBytes) },
      will: { topic: 'w', payload: 'x' },
      keepAlive: 7,
    };
    const before = await connectOf({ id, protocolVersion: version, ...all, ...document });
    expect(before).toMatchObject({ cleanStart: first, keepAlive: 7, username: 'u', password: allBytes });
    recorder.drop();
    const after = decodeConnect(await recorder.next());
    expect(after).toStrictEqual({ ...before, cleanStart: later });
    await online(id);
  });
});

describe('an assigned ClientID', () => {
  it('is asked for on 5.0 without a Will and without a session, then used, at every reconnect too', async () => {
    const document = {
      cleanStart: false,
      sessionExpiryInterval: 60,
      will: { topic: 'w' },
      username: 'u',
      keepAlive: 9,
    };
    const { connection } = await bridge.openConnection(valid({ clientId: '', ...document }));
    const [question, packet] = [await recorder.next(), await recorder.next()];
    const { properties: _bare, ...rest } = bare('5.0', '');
    const asked = { ...rest, keepAlive: 9, username: 'u', properties: { sessionExpiryInterval: 0 } };
    expect(decodeConnect(question)).toStrictEqual(asked);
    const connect = decodeConnect(packet);
    expect(connect).toStrictEqual({
      ...asked,
      cleanStart: false,
      clientId: ASSIGNED,
      will: plainWill('5.0'),
      properties: { sessionExpiryInterval: 60 },
    });
    opened.push(connection.id);
    expect(connection).toMatchObject({ id: ASSIGNED, clientId: ASSIGNED });
    recorder.drop();
    expect(decodeConnect(await recorder.next())).toStrictEqual(connect);
    await online(ASSIGNED);
  });

  it.each(V3)('is generated by the bridge on %s, and used at every reconnect', async (protocolVersion) => {
    const connect = await connectOf({ protocolVersion });
    expect(connect.clientId).toMatch(/^[0-9a-zA-Z]{22}$/);
    recorder.drop();
    expect(decodeConnect(await recorder.next())).toStrictEqual(connect);
    await online(connect.clientId);
  });
});

async function online(id: string): Promise<void> {
  await until(async () => (await bridge.getConnection(id)).state === 'online', { what: `${id} is online` });
}

interface Recorder {
  readonly url: string;
  /** The next CONNECT packet that this has not answered yet, byte by byte. */
  next(): Promise<Buffer>;
  /** What was not asked for. */
  forget(): void;
  /** Closes the newest network connection. */
  drop(): void;
  stop(): Promise<void>;
}

const ASSIGNED = 'assigned-by-broker';
const ACCEPTED = Buffer.from([0x20, 2, 0, 0]);
const ACCEPTED_V5 = Buffer.from([0x20, 3, 0, 0, 0]);
const ASSIGNED_V5 = Buffer.concat([
  Buffer.from([0x20, 6 + ASSIGNED.length, 0, 0, 3 + ASSIGNED.length, 0x12, 0, ASSIGNED.length]),
  Buffer.from(ASSIGNED),
]);

/** Keeps the bytes of each CONNECT, and accepts it; what follows is not read. */
async function startRecorder(): Promise<Recorder> {
  const packets: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    let bytes: Buffer = Buffer.alloc(0);
    let length: number | null = null;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (length !== null && bytes.length >= length) return;
      bytes = Buffer.concat([bytes, chunk]);
      length = packetLength(bytes);
      if (length === null || bytes.length < length) return;
      packets.push(bytes);
      socket.write(answerTo(bytes));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    next: () => until(() => packets.shift(), { what: 'a CONNECT' }),
    forget: () => void packets.splice(0),
    drop: () => void sockets.at(-1)?.destroy(),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** One that is malformed is accepted too, so that the test's own decoding tells what is wrong. */
function answerTo(packet: Buffer): Buffer {
  if (!packet.includes('MQTT\x05')) return ACCEPTED;
  try {
    return decodeConnect(packet).clientId === '' ? ASSIGNED_V5 : ACCEPTED_V5;
  } catch {
    return ACCEPTED_V5;
  }
}

/** For the name of a row. */
function brief(value: unknown): string {
  const written = JSON.stringify(value) ?? '';
  return written.length <= 80 ? written : `${written.slice(0, 40)}… (${written.length} characters)`;
}
