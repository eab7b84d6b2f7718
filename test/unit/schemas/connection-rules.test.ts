import { generateKeyPairSync } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import type { ConnectionContext } from '../../../src/schemas/connection-rules.ts';
import { faultsOf, open, validate } from './validate.ts';

/** What is wrong with the document, where, and which clause says so. */
type Row = [title: string, document: object, pointer: string, detail: RegExp, reference?: string];

const v311 = { clientId: 'abc', protocolVersion: '3.1.1' };
const v31 = { clientId: 'abc', protocolVersion: '3.1' };
const v5 = { clientId: 'abc' };
const [PEM = ''] = rootCertificates;
const KEY = `${generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })}`;
const mqtts = { ...v5, url: 'mqtts://broker.example.com' };
const wss = { ...v5, url: 'wss://broker.example.com' };

const LONG = 'a'.repeat(65_536);

describe.each<{ subject: string; rows: Row[] }>([
  {
    subject: 'members of MQTT 5.0 on 3.1.1',
    rows: [
      [
        '',
        { cleanStart: true },
        '/cleanStart',
        /Clean Start exists in MQTT 5\.0 only.*3\.1\.1.*`cleanSession`/,
        'MQTT 5.0 §3.1.2.4',
      ],
      ['', { sessionExpiryInterval: 0 }, '/sessionExpiryInterval', /Session Expiry Interval/, 'MQTT 5.0 §3.1.2.11.2'],
      [
        '',
        { properties: { receiveMaximum: 5 } },
        '/properties/receiveMaximum',
        /Receive Maximum/,
        'MQTT 5.0 §3.1.2.11.3',
      ],
      [
        '',
        { properties: { maximumPacketSize: 5 } },
        '/properties/maximumPacketSize',
        /Maximum Packet Size/,
        'MQTT 5.0 §3.1.2.11.4',
      ],
      [
        '',
        { properties: { requestResponseInformation: true } },
        '/properties/requestResponseInformation',
        /Response Info/,
        'MQTT 5.0 §3.1.2.11.6',
      ],
      [
        '',
        { properties: { requestProblemInformation: true } },
        '/properties/requestProblemInformation',
        /Problem Info/,
        'MQTT 5.0 §3.1.2.11.7',
      ],
      [
        '',
        { properties: { userProperties: { a: 'b' } } },
        '/properties/userProperties',
        /User Property/,
        'MQTT 5.0 §3.1.2.11.8',
      ],
      ['', { will: { topic: 'a', delayInterval: 0 } }, '/will/delayInterval', /Will Delay/, 'MQTT 5.0 §3.1.3.2.2'],
      [
        '',
        { will: { topic: 'a', payloadFormatIndicator: 0 } },
        '/will/payloadFormatIndicator',
        /Format/,
        'MQTT 5.0 §3.1.3.2.3',
      ],
      [
        '',
        { will: { topic: 'a', messageExpiryInterval: 1 } },
        '/will/messageExpiryInterval',
        /Expiry/,
        'MQTT 5.0 §3.1.3.2.4',
      ],
      ['', { will: { topic: 'a', contentType: '' } }, '/will/contentType', /Content Type/, 'MQTT 5.0 §3.1.3.2.5'],
      [
        '',
        { will: { topic: 'a', responseTopic: 'b' } },
        '/will/responseTopic',
        /Response Topic/,
        'MQTT 5.0 §3.1.3.2.6',
      ],
      [
        '',
        { will: { topic: 'a', correlationData: '' } },
        '/will/correlationData',
        /Correlation/,
        'MQTT 5.0 §3.1.3.2.7',
      ],
      [
        '',
        { will: { topic: 'a', userProperties: {} } },
        '/will/userProperties',
        /User Property/,
        'MQTT 5.0 §3.1.3.2.8',
      ],
      [
        '',
        { subscriptions: [{ filter: 'a', noLocal: false }] },
        '/subscriptions/0/noLocal',
        /No Local/,
        'MQTT 5.0 §3.8.3.1',
      ],
      [
        '',
        { subscriptions: [{ filter: 'a', retainAsPublished: true }] },
        '/subscriptions/0/retainAsPublished',
        /As Published/,
        'MQTT 5.0 §3.8.3.1',
      ],
      [
        '',
        { subscriptions: [{ filter: 'a', retainHandling: 1 }] },
        '/subscriptions/0/retainHandling',
        /Handling/,
        'MQTT 5.0 §3.8.3.1',
      ],
      [
        '',
        { subscriptions: [{ filter: 'a', subscriptionIdentifier: 1 }] },
        '/subscriptions/0/subscriptionIdentifier',
        /Identifier/,
        'MQTT 5.0 §3.8.2.1.2',
      ],
    ].map(([title, document, ...rest]) => [title, { ...v311, ...(document as object) }, ...rest] as Row),
  },
  {
    subject: 'the session',
    rows: [
      ['Clean Session on 5.0', { ...v5, cleanSession: true }, '/cleanSession', /Clean Start/, 'MQTT 5.0 §3.1.2.4'],
      ['Clean Start on 3.1', { ...v31, cleanStart: true }, '/cleanStart', /speaks 3\.1;/, 'MQTT 5.0 §3.1.2.4'],
      [
        'a negative expiry',
        { ...v5, sessionExpiryInterval: -1 },
        '/sessionExpiryInterval',
        /0 to 4294967295, or "never"/,
        'MQTT 5.0 §3.1.2.11.2',
      ],
      [
        'an expiry past four bytes',
        { ...v5, sessionExpiryInterval: 2 ** 32 },
        '/sessionExpiryInterval',
        /4294967295/,
        'MQTT 5.0 §3.1.2.11.2',
      ],
      ['Keep Alive past two bytes', { ...v5, keepAlive: 65_536 }, '/keepAlive', /0 to 65535/, 'MQTT 5.0 §3.1.2.10'],
      ['a fraction of Keep Alive', { ...v5, keepAlive: 1.5 }, '/keepAlive', /whole number/, 'MQTT 5.0 §3.1.2.10'],
      [
        'a version that is none',
        { ...v5, protocolVersion: '4' },
        '/protocolVersion',
        /"5\.0", "3\.1\.1" or "3\.1"/,
        'MQTT-3.1.2-2',
      ],
    ],
  },
  {
    subject: 'the ClientID',
    rows: [
      [
        'empty with a persistent session',
        { protocolVersion: '3.1.1', cleanSession: false },
        '/clientId',
        /Clean Session/,
        'MQTT 3.1.1 [MQTT-3.1.3-7]',
      ],
      [
        'empty with an id and a persistent session',
        { id: 'a', clientId: '', protocolVersion: '3.1', cleanSession: false },
        '/clientId',
        /Clean Session/,
        'MQTT 3.1.1 [MQTT-3.1.3-7]',
      ],
      ['24 bytes on 3.1', { ...v31, clientId: 'a'.repeat(24) }, '/clientId', /24 bytes.*at most 23/, 'MQTT 3.1 §3.1'],
      [
        '24 bytes of 12 characters on 3.1',
        { ...v31, clientId: 'ü'.repeat(12) },
        '/clientId',
        /24 bytes/,
        'MQTT 3.1 §3.1',
      ],
      [
        '24 bytes on 3.1, given as id',
        { id: 'a'.repeat(24), protocolVersion: '3.1' },
        '/id',
        /24 bytes/,
        'MQTT 3.1 §3.1',
      ],
      ['U+0000', { clientId: 'a\0' }, '/clientId', /U\+0000/, 'MQTT-1.5.4-2'],
      ['a lone surrogate', { clientId: '\ud800' }, '/clientId', /surrogate/, 'MQTT-1.5.4-1'],
      ['too long for MQTT', { id: 'a', clientId: LONG }, '/clientId', /65536 bytes/, 'MQTT 5.0 §1.5.4'],
      ['too long for a path', { clientId: 'a'.repeat(1025) }, '/id', /1025 bytes.*at most 1024/],
      ["an id of the bridge's own", { clientId: 'a', id: '$bridge/a' }, '/id', /The id begins with "\$bridge\/"/],
      ['a ClientID that would be one', { clientId: '$bridge/a' }, '/clientId', /which is the id where none is given/],
      ['an id too long for a path', { clientId: 'a', id: 'a'.repeat(1025) }, '/id', /The id has 1025 bytes/],
      ['an empty id', { id: '', clientId: 'a' }, '/id', /empty/],
      ['an id with U+0000', { id: 'a\0', clientId: 'a' }, '/id', /U\+0000/, 'MQTT-1.5.4-2'],
    ],
  },
  {
    subject: 'the credentials',
    rows: [
      [
        'a password alone on 3.1.1',
        { ...v311, password: 'p' },
        '/password',
        /no password without a user name/,
        'MQTT 3.1.1 [MQTT-3.1.2-22]',
      ],
      [
        'a password alone on 3.1',
        { ...v31, password: '' },
        '/password',
        /no password without a user name/,
        'MQTT 3.1.1 [MQTT-3.1.2-22]',
      ],
      ['a user name with U+0000', { ...v5, username: 'a\0' }, '/username', /U\+0000/, 'MQTT-1.5.4-2'],
      ['a user name too long', { ...v5, username: LONG }, '/username', /65536 bytes/, 'MQTT 5.0 §1.5.4'],
      ['a password too long', { ...v5, username: 'u', password: LONG }, '/password', /65536 bytes/, 'MQTT 5.0 §1.5.6'],
      [
        'a password with a lone surrogate',
        { ...v5, username: 'u', password: '\ud800' },
        '/password',
        /base64/,
        'MQTT 5.0 §3.1.3.6',
      ],
      [
        'a password of bad base64',
        { ...v5, username: 'u', password: { base64: 'a' } },
        '/password/base64',
        /not base64/,
        'MQTT 5.0 §3.1.3.6',
      ],
      [
        'a password of much base64',
        { ...v5, username: 'u', password: { base64: 'AAAA'.repeat(21_846) } },
        '/password/base64',
        /65538 bytes/,
        'MQTT 5.0 §1.5.6',
      ],
      [
        'a password of another type',
        { ...v5, username: 'u', password: 5 },
        '/password',
        /\{"base64": "…"\}/,
        'MQTT 5.0 §3.1.3.6',
      ],
    ],
  },
  {
    subject: 'the CONNECT properties',
    rows: [
      [
        'Receive Maximum 0',
        { ...v5, properties: { receiveMaximum: 0 } },
        '/properties/receiveMaximum',
        /Protocol Error/,
        'MQTT 5.0 §3.1.2.11.3',
      ],
      [
        'Receive Maximum 65536',
        { ...v5, properties: { receiveMaximum: 65_536 } },
        '/properties/receiveMaximum',
        /65535/,
        'MQTT 5.0 §3.1.2.11.3',
      ],
      [
        'Maximum Packet Size 0',
        { ...v5, properties: { maximumPacketSize: 0 } },
        '/properties/maximumPacketSize',
        /Protocol Error/,
        'MQTT 5.0 §3.1.2.11.4',
      ],
      [
        'Topic Alias Maximum',
        { ...v5, properties: { topicAliasMaximum: 1 } },
        '/properties/topicAliasMaximum',
        /no member "topicAliasMaximum"/,
      ],
      [
        'a User Property’s value',
        { ...v5, properties: { userProperties: { 'a/b~': ['x', '\0'] } } },
        '/properties/userProperties/a~1b~0/1',
        /value/,
        'MQTT-1.5.4-2',
      ],
      [
        'a User Property’s name',
        { ...v5, properties: { userProperties: { '\ud800': 'x' } } },
        '/properties/userProperties/\ud800',
        /name/,
        'MQTT-1.5.4-1',
      ],
    ],
  },
  {
    subject: 'the Will',
    rows: [
      ['without a topic', { ...v5, will: {} }, '/will/topic', /`topic` is missing/, 'MQTT-3.1.3-11'],
      ['an empty topic', { ...v5, will: { topic: '' } }, '/will/topic', /empty/, 'MQTT-4.7.3-1'],
      ['a wildcard', { ...v5, will: { topic: 'a/+' } }, '/will/topic', /wildcard "\+"/, 'MQTT-3.3.2-2'],
      ['a topic with U+0000', { ...v311, will: { topic: 'a\0' } }, '/will/topic', /U\+0000/, 'MQTT-1.5.4-2'],
      ['QoS 3', { ...v5, will: { topic: 'a', qos: 3 } }, '/will/qos', /0, 1 or 2/, 'MQTT-3.3.1-4'],
      ['a payload that is no string', { ...v5, will: { topic: 'a', payload: 5 } }, '/will/payload', /"json"/],
      [
        'a payload of bad base64',
        { ...v5, will: { topic: 'a', payload: '*', encoding: 'base64' } },
        '/will/payload',
        /base64/,
      ],
      [
        'a payload too long',
        { ...v5, will: { topic: 'a', payload: LONG } },
        '/will/payload',
        /65536 bytes, and MQTT allows 65535/,
        'MQTT 5.0 §3.1.3.4',
      ],
      [
        'a payload that is no text',
        { ...v5, will: { topic: 'a', payload: '/w==', encoding: 'base64', payloadFormatIndicator: 1 } },
        '/will/payloadFormatIndicator',
        /not UTF-8/,
        'MQTT 5.0 §3.3.2.3.2',
      ],
      [
        'Correlation Data of bad base64',
        { ...v5, will: { topic: 'a', correlationData: 'a' } },
        '/will/correlationData',
        /base64/,
        'MQTT 5.0 §3.3.2.3.6',
      ],
      [
        'a Response Topic with a wildcard',
        { ...v5, will: { topic: 'a', responseTopic: '#' } },
        '/will/responseTopic',
        /wildcard/,
        'MQTT-3.3.2-14',
      ],
      [
        'an empty Response Topic',
        { ...v5, will: { topic: 'a', responseTopic: '' } },
        '/will/responseTopic',
        /empty/,
        'MQTT-4.7.3-1',
      ],
      [
        'a Content Type with U+0000',
        { ...v5, will: { topic: 'a', contentType: '\0' } },
        '/will/contentType',
        /U\+0000/,
        'MQTT-1.5.4-2',
      ],
      [
        'a delay past four bytes',
        { ...v5, will: { topic: 'a', delayInterval: 2 ** 32 } },
        '/will/delayInterval',
        /4294967295/,
        'MQTT 5.0 §3.1.3.2.2',
      ],
    ],
  },
  {
    subject: 'the broker',
    rows: [
      ['named twice', { ...v5, broker: 'default', url: 'mqtts://h' }, '/url', /Both `broker` and `url`/],
      ['an unknown profile', { ...v5, broker: 'x' }, '/broker', /no broker profile "x"/],
      ['no URL', { ...v5, url: 'broker' }, '/url', /not a URL/],
      ['an unknown scheme', { ...v5, url: 'http://h' }, '/url', /"http" is not a transport for MQTT: use mqtt, tcp/],
      ['a local socket', { ...v5, url: 'mqtt+unix:///tmp/x' }, '/url', /not a transport/],
      ['user information', { ...v5, url: 'mqtts://u:p@h' }, '/url', /`username` and `password`/],
      ['a query', { ...v5, url: 'mqtts://h?clientId=x' }, '/url', /no query/],
      ['an empty query', { ...v5, url: 'mqtts://h?' }, '/url', /no query/],
      ['a fragment', { ...v5, url: 'wss://h/a#b' }, '/url', /no fragment/],
      [
        'a path without WebSocket',
        { ...v5, url: 'mqtts://h/mqtt' },
        '/url',
        /path belongs to ws and wss; mqtts has none/,
      ],
      ['no host', { ...v5, url: 'mqtts://' }, '/url', /no host/],
      ['a local socket without a host', { ...v5, url: 'unix:/tmp/x' }, '/url', /not a transport/],
      ['empty user information', { ...v5, url: 'mqtts://@h' }, '/url', /`username` and `password`/],
      ['an empty host before a path', { ...v5, url: 'ws:///mqtt' }, '/url', /not a URL/],
      ['a WebSocket without slashes', { ...v5, url: 'wss:h' }, '/url', /not a URL/],
      ['backslashes', { ...v5, url: 'wss:\\\\h' }, '/url', /not a URL/],
      ['a control character at the end', { ...v5, url: 'mqtts://h\0' }, '/url', /not a URL/],
      ['port 0', { ...v5, url: 'mqtts://h:0' }, '/url', /Port 0/],
      ['port 65536', { ...v5, url: 'mqtts://h:65536' }, '/url', /from 1 to 65535/],
      ['port 65536 of a WebSocket', { ...v5, url: 'wss://h:65536/mqtt' }, '/url', /from 1 to 65535/],
      ['a negative port', { ...v5, url: 'mqtts://h:-1' }, '/url', /not a URL/],
      ['a port that is no number', { ...v5, url: 'mqtts://h:mqtt' }, '/url', /not a URL/],
      ['an IPv6 zone', { ...v5, url: 'mqtts://[fe80::1%25eth0]:1883' }, '/url', /zone/],
      ['IPv6 without brackets', { ...v5, url: 'mqtts://::1' }, '/url', /not a URL/],
      ['an international name', { ...v5, url: 'mqtts://bücher.example' }, '/url', /"xn--bcher-kva\.example"/],
      ['a dot at the end of the host', { ...v5, url: 'mqtts://h.example.:1883' }, '/url', /without the dot/],
      ['an empty label', { ...v5, url: 'mqtts://h..example' }, '/url', /"h\.\.example" is not the name/],
      ['several hosts in one', { ...v5, url: 'mqtts://h,i' }, '/url', /"h,i" is not the name/],
      ['white space', { ...v5, url: 'mqtts://h\n' }, '/url', /not a URL/],
      ['a disguised address', { ...v5, url: 'mqtts://2130706433' }, '/url', /as it is resolved: "127\.0\.0\.1"/],
      ['an encoded host', { ...v5, url: 'mqtts://%6cocalhost' }, '/url', /as it is resolved: "localhost"/],
      ['the second of two', { ...v5, url: ['mqtts://h', 'mqtts://h/x'] }, '/url/1', /path/],
      ['none of an array', { ...v5, url: [] }, '/url', /1 to 16/],
    ],
  },
  {
    subject: 'TLS',
    rows: [
      ['cert without key', { ...mqtts, tls: { cert: PEM } }, '/tls/cert', /needs `tls\.key`/],
      ['key without cert', { ...mqtts, tls: { key: KEY } }, '/tls/key', /needs `tls\.cert`/],
      ['passphrase without key', { ...mqtts, tls: { passphrase: 'x' } }, '/tls/passphrase', /needs `tls\.key`/],
      ['a CA that is no PEM', { ...mqtts, tls: { ca: 'x' } }, '/tls/ca', /no PEM block/],
      ['with a plaintext URL', { ...v5, url: 'mqtt://localhost', tls: {} }, '/tls', /plaintext/],
      ['with a plaintext WebSocket', { ...v5, url: 'ws://localhost', tls: {} }, '/tls', /plaintext/],
      ['with a profile', { ...v5, tls: {} }, '/tls', /profile brings its own/],
      [
        'a server name that is an address',
        { ...mqtts, tls: { serverName: '::1' } },
        '/tls/serverName',
        /DNS name/,
        'RFC 6066 §3',
      ],
      ['an empty protocol', { ...mqtts, tls: { alpn: ['mqtt', ''] } }, '/tls/alpn/1', /1 to 255/, 'RFC 7301 §3.1'],
      ['no verification', { ...mqtts, tls: { rejectUnauthorized: false } }, '/tls/rejectUnauthorized', /operator/],
    ],
  },
  {
    subject: 'the WebSocket',
    rows: [
      ['with another URL', { ...mqtts, websocket: {} }, '/websocket', /ws or wss/],
      ['with a profile', { ...v5, websocket: {} }, '/websocket', /profile brings its own/],
      [
        'a relative path',
        { ...wss, websocket: { path: 'mqtt' } },
        '/websocket/path',
        /begins with "\/"/,
        'RFC 6455 §3',
      ],
      ['a path with a query', { ...wss, websocket: { path: '/m?x' } }, '/websocket/path', /"\?"/, 'RFC 6455 §3'],
      ['two paths', { ...v5, url: 'wss://h/a', websocket: { path: '/b' } }, '/websocket/path', /one of them/],
      [
        'a name with a space',
        { ...wss, websocket: { headers: { 'a b': 'x' } } },
        '/websocket/headers/a b',
        /name of a header/,
        'RFC 9110 §5.1',
      ],
      [
        'a split response',
        { ...wss, websocket: { headers: { a: 'x\r\nb: y' } } },
        '/websocket/headers/a',
        /characters/,
        'RFC 9110 §5.5',
      ],
      [
        'the handshake’s own',
        { ...wss, websocket: { headers: { 'Sec-WebSocket-Key': 'x' } } },
        '/websocket/headers/Sec-WebSocket-Key',
        /handshake/,
        'RFC 6455 §4.1',
      ],
      [
        'a value that is no string',
        { ...wss, websocket: { headers: { a: 5 } } },
        '/websocket/headers/a',
        /is a string/,
      ],
    ],
  },
  {
    subject: 'the subscriptions',
    rows: [
      [
        '"#" in the middle',
        { ...v5, subscriptions: [{ filter: 'a/#/b' }] },
        '/subscriptions/0/filter',
        /nothing may follow "#"/,
        'MQTT-4.7.1-1',
      ],
      [
        '"+" in a level',
        { ...v5, subscriptions: [{ filter: 'ok' }, { filter: 'a+' }] },
        '/subscriptions/1/filter',
        /whole level/,
        'MQTT-4.7.1-2',
      ],
      [
        'the same filter twice',
        {
          ...v5,
          subscriptions: [
            { filter: 'a', qos: 0 },
            { filter: 'a', qos: 1 },
          ],
        },
        '/subscriptions/1/filter',
        /at \/subscriptions\/0\/filter/,
        'MQTT-3.8.4-3',
      ],
      [
        'No Local with $share',
        { ...v5, subscriptions: [{ filter: '$share/g/a', noLocal: true }] },
        '/subscriptions/0/noLocal',
        /Protocol Error/,
        'MQTT-3.8.3-4',
      ],
      [
        'identifier 0',
        { ...v5, subscriptions: [{ filter: 'a', subscriptionIdentifier: 0 }] },
        '/subscriptions/0/subscriptionIdentifier',
        /1 to 268435455/,
        'MQTT 5.0 §3.8.2.1.2',
      ],
      [
        'identifier 268435456',
        { ...v5, subscriptions: [{ filter: 'a', subscriptionIdentifier: 268_435_456 }] },
        '/subscriptions/0/subscriptionIdentifier',
        /268435455/,
        'MQTT 5.0 §3.8.2.1.2',
      ],
      [
        'too many',
        { ...v5, subscriptions: Array.from({ length: 1001 }, (_, index) => ({ filter: `a/${index}` })) },
        '/subscriptions',
        /at most 1000/,
      ],
      ['one that is no object', { ...v5, subscriptions: ['a'] }, '/subscriptions/0', /object with a `filter`/],
    ],
  },
  {
    subject: 'the bridge’s own members',
    rows: [
      ['an unknown one', { ...v5, keepalive: 5 }, '/keepalive', /no member "keepalive"/],
      ['an unknown one within', { ...v5, queue: { max: 1 } }, '/queue/max', /no member "max"/],
      ['connectTimeout 0', { ...v5, connectTimeout: 0 }, '/connectTimeout', /1 to 120/],
      ['a long drainInterval', { ...v5, drainInterval: 86_401 }, '/drainInterval', /1 to 86400/],
      ['an empty queue', { ...v5, queue: { maxMessages: 0 } }, '/queue/maxMessages', /from 1/],
      ['hold', { ...v5, hold: 'never' }, '/hold', /"always" or "onDemand"/],
    ],
  },
  {
    subject: 'what this release does not do',
    rows: [['idleTtl', { ...v5, idleTtl: 60 }, '/idleTtl', /not available in this release/]],
  },
])('$subject', ({ rows }) => {
  test.each(rows)('fault: %s %j', (_, document, pointer, detail, reference) => {
    expect(faultsOf(document)).toEqual([
      { pointer, detail: expect.stringMatching(detail), ...(reference === undefined ? {} : { reference }) },
    ]);
  });
});

describe('a document is valid', () => {
  test.each<[string, object, Partial<ConnectionContext>?]>([
    ['that says nothing', {}],
    ['with the least on 3.1', v31],
    ['with a ClientID of 23 bytes on 3.1', { ...v31, clientId: 'a'.repeat(23) }],
    ['with an empty ClientID and Clean Session', { clientId: '', protocolVersion: '3.1.1', cleanSession: true }],
    ['with a persistent session on 3.1.1', { ...v311, cleanSession: false }],
    ['with empty credentials', { ...v311, username: '', password: '' }],
    ['with any bytes as password', { ...v5, username: 'u', password: { base64: 'AP8=' } }],
    ['with U+0000 in the password, which is Binary Data', { ...v5, username: 'u', password: '\0' }],
    ['with a Will of JSON', { ...v5, will: { topic: 'a', payload: { a: 1 }, encoding: 'json' } }],
    ['with a Will of 65535 bytes', { ...v5, will: { topic: 'a', payload: 'a'.repeat(65_535) } }],
    [
      'with every option of a subscription',
      {
        ...v5,
        subscriptions: [
          {
            filter: '$share/g/a/#',
            qos: 2,
            noLocal: false,
            retainAsPublished: true,
            retainHandling: 2,
            subscriptionIdentifier: 268_435_455,
          },
        ],
      },
    ],
    ['with TLS', { ...mqtts, tls: { ca: PEM, serverName: 'h', alpn: ['mqtt'] } }],
    ['with TLS for one of its URLs', { ...v5, url: ['mqtt://localhost', 'ssl://localhost'], tls: {} }],
    ['with a WebSocket', { ...wss, websocket: { path: '/a/b', headers: { 'X-A': 'é' } } }],
    ['with an IPv6 address', { ...v5, url: 'mqtts://[::1]:8883' }],
    ['with a path of its WebSocket’s', { ...v5, url: 'wss://h:1/a' }],
    ['with a slash at the end', { ...v5, url: 'tls://h/' }],
    ['in upper case', { ...v5, url: 'MQTTS://BROKER.Example' }],
    ['with the highest port', { ...v5, url: 'ssl://h:65535' }],
    ['with an international name as it is resolved', { ...v5, url: 'mqtts://xn--bcher-kva.example' }],
    ['with an international name of a WebSocket, which the parser resolves', { ...v5, url: 'wss://bücher.example' }],
    ['with QUIC where it is installed', { ...v5, url: 'quic://h' }, { quicAvailable: true }],
    ['with null as idleTtl', { ...v5, idleTtl: null }],
    [
      'without verification where that is allowed',
      { ...mqtts, tls: { rejectUnauthorized: false } },
      { allowInsecureTls: true },
    ],
  ])('%s', (_, document, context) => {
    expect(faultsOf(document, context)).toEqual([]);
  });
});

describe('what the deployment says', () => {
  test('a URL that is not allowed', () => {
    const urlAllowed = (url: URL) => (url.hostname === 'h' ? null : `${url.hostname} is not allowed.`);
    expect(faultsOf({ ...v5, url: ['mqtts://h', 'mqtts://i'] }, { urlAllowed })).toEqual([
      { pointer: '/url/1', detail: 'i is not allowed.' },
    ]);
  });

  test('there may be no default broker', () => {
    expect(faultsOf(v5, { brokers: new Set(['x']) })).toEqual([
      { pointer: '/broker', detail: 'There is no default broker here: give `broker` or `url`.' },
    ]);
  });

  test('QUIC without its package is 501, and no other fault is hidden by it', () => {
    expect(() => validate({ ...v5, url: 'quic://h' })).toThrow(
      expect.objectContaining({
        type: 'not-available-here',
        message: expect.stringContaining('`npm run quic:install`'),
      }),
    );
    expect(faultsOf({ ...v5, url: 'quic://h', keepAlive: -1 })).toHaveLength(1);
  });

  test('a Will Payload over MAX_PAYLOAD', () => {
    expect(faultsOf({ ...v5, will: { topic: 'a', payload: 'abcd' } }, { maxPayload: 3 })).toEqual([
      { pointer: '/will/payload', detail: 'The Will Payload is 4 bytes, and this bridge allows 3.' },
    ]);
  });

  test.each<[object, string | null]>([
    [{ url: 'mqtt://broker.example.com', username: 'u' }, '/url'],
    [{ url: ['mqtt://127.0.0.1', 'ws://h'], username: 'u', password: 'p' }, '/url/1'],
    [{ url: 'ws://h', websocket: { headers: { Authorization: 'x' } } }, '/url'],
    [{ url: 'ws://h', websocket: { headers: { 'X-Tenant': 'x' } } }, null],
    [{ url: 'mqtts://h', username: 'u' }, null],
    [{ url: 'mqtt://localhost', username: 'u' }, null],
    [{ url: 'mqtt://[::1]', username: 'u' }, null],
    [{ url: 'mqtt://h' }, null],
  ])('credentials over plaintext: %j', (document, pointer) => {
    const given = { ...v5, ...document };
    const warnings = validate(given).warnings.filter(({ code }) => code === 'credentials-over-plaintext');
    expect(warnings.map((warning) => warning.pointer ?? '')).toEqual(pointer === null ? [] : [pointer]);
    expect(faultsOf(given, { requireTls: true }).map((fault) => fault.pointer)).toEqual(
      pointer === null ? [] : [pointer],
    );
  });
});

const UNUSUAL = ['unusual-characters'];

describe('warnings', () => {
  test.each<[string, object, string[], Partial<ConnectionContext>?]>([
    ['nothing to say', v5, []],
    ['a long ClientID', { clientId: 'a'.repeat(24) }, ['client-id-portability']],
    ['unusual characters in it', { clientId: 'a-b' }, ['client-id-portability']],
    ['both', { clientId: 'a-b'.repeat(8) }, ['client-id-portability', 'client-id-portability']],
    ['Clean Start 0 with expiry 0', { ...v5, cleanStart: false }, ['session-not-kept']],
    ['Clean Start 0 with an expiry', { ...v5, cleanStart: false, sessionExpiryInterval: 1 }, []],
    ['an assigned ClientID that persists', { sessionExpiryInterval: 'never' }, ['assigned-client-id']],
    ['an assigned ClientID', {}, []],
    ['Keep Alive off', { ...v5, keepAlive: 0 }, ['keep-alive-off']],
    ['a control character', { ...v5, username: 'a\n' }, ['unusual-characters']],
    ['a non-character in the Content Type', { ...v5, will: { topic: 'a', contentType: '\ufdd0' } }, UNUSUAL],
    ['a control character in the Response Topic', { ...v5, will: { topic: 'a', responseTopic: 'a\t' } }, UNUSUAL],
    ['in the Will Topic', { ...v5, will: { topic: '\u007f' } }, UNUSUAL],
    ['in a Topic Filter', { ...v5, subscriptions: [{ filter: '\u{1fffe}' }] }, UNUSUAL],
    ['in the name of a User Property', { ...v5, properties: { userProperties: { '\u0085': 'a' } } }, UNUSUAL],
    ['in a value of one', { ...v5, will: { topic: 'a', userProperties: { a: ['b', '\u001f'] } } }, UNUSUAL],
    [
      'in the ClientID, though not again in the id',
      { id: 'a\n', clientId: 'a\n' },
      [...UNUSUAL, 'client-id-portability'],
    ],
    ['a packet size that lets no CONNACK in', { ...v5, properties: { maximumPacketSize: 4 } }, ['small-packets-only']],
    ['one that lets no SUBACK in', { ...v5, properties: { maximumPacketSize: 127 } }, ['small-packets-only']],
    ['one that will do', { ...v5, properties: { maximumPacketSize: 128 } }, []],
    ['a Will under "$"', { ...v5, will: { topic: '$SYS/x' } }, ['reserved-topic']],
    ['a Will delay past the session', { ...v5, will: { topic: 'a', delayInterval: 1 } }, ['will-delay-cut-short']],
    [
      'a Will delay within the session',
      { ...v5, sessionExpiryInterval: 1, will: { topic: 'a', delayInterval: 1 } },
      [],
    ],
    [
      'a Will delay below the fail-over',
      { ...v5, sessionExpiryInterval: 60, will: { topic: 'a', delayInterval: 20 } },
      ['will-before-fail-over'],
      { failOver: 20 },
    ],
    [
      'a Will delay above the fail-over',
      { ...v5, sessionExpiryInterval: 60, will: { topic: 'a', delayInterval: 21 } },
      [],
      { failOver: 20 },
    ],
    ['$share on 3.1.1', { ...v311, subscriptions: [{ filter: '$share/g/a' }] }, ['shared-subscription-on-3']],
    [
      'no verification',
      { ...mqtts, tls: { rejectUnauthorized: false } },
      ['certificate-not-verified'],
      { allowInsecureTls: true },
    ],
  ])('%s', (_, document, codes, context) => {
    expect(validate(document, context).warnings.map(({ code }) => code)).toEqual(codes);
  });
});

test.each<[number, RegExp]>([
  [1, /is 1, .*CONNACK has at least 5 bytes, so that no connection can be made/],
  [5, /is 5, .* 0 bytes are left/],
  [20, /is 20, .* 13 bytes are left for its topic and payload\. Below 128/],
])('a Maximum Packet Size of %i is warned of with numbers', (maximumPacketSize, sentence) => {
  const { warnings } = validate({ ...v5, properties: { maximumPacketSize } });
  expect(warnings).toEqual([
    { code: 'small-packets-only', detail: expect.stringMatching(sentence), pointer: '/properties/maximumPacketSize' },
  ]);
});

describe('every fault at once', () => {
  test('structural ones and those across members', () => {
    const document = {
      clientId: 5,
      protocolVersion: '3.1.1',
      broker: 'x',
      url: 'mqtt://u@h/p?q',
      keepAlive: '60',
      cleanStart: true,
      will: { topic: 5, qos: 3, delayInterval: 5, foo: 1 },
      properties: { receiveMaximum: 0, userProperties: { a: 'b' } },
      subscriptions: [{ filter: 5 }, { qos: 1, noLocal: true }, { filter: 'a/#/b' }, null, { filter: 'a+' }],
      bar: 1,
    };
    expect(
      faultsOf(document)
        .map(({ pointer }) => pointer)
        .sort(),
    ).toEqual(
      [
        '/clientId',
        '/url',
        '/url',
        '/url',
        '/url',
        '/keepAlive',
        '/cleanStart',
        '/will/topic',
        '/will/qos',
        '/will/delayInterval',
        '/will/foo',
        '/properties/receiveMaximum',
        '/properties/userProperties',
        '/subscriptions/0/filter',
        '/subscriptions/1/filter',
        '/subscriptions/1/noLocal',
        '/subscriptions/2/filter',
        '/subscriptions/3',
        '/subscriptions/4/filter',
        '/bar',
      ].sort(),
    );
  });

  test('the detail counts them', () => {
    expect(() => validate({ keepAlive: -1 })).toThrow('Keep Alive is a whole number of seconds from 0 to 65535.');
    expect(() => validate({ keepAlive: -1, broker: 'x' })).toThrow('There are 2 faults; the first: Keep Alive');
  });

  test.each<[string, object, string]>([
    ['the version', { ...v5, protocolVersion: 4, cleanSession: true, password: 'p' }, '/protocolVersion'],
    ['the user name', { ...v311, username: 5, password: 'p' }, '/username'],
    ['the ClientID', { clientId: 5, protocolVersion: '3.1.1', cleanSession: false }, '/clientId'],
    ['the key', { ...mqtts, tls: { cert: PEM, key: 5 } }, '/tls/key'],
    ['the encoding', { ...v5, will: { topic: 'a', payload: 5, encoding: 'xml' } }, '/will/encoding'],
    ['the broker', { ...v5, broker: 5 }, '/broker'],
    ['the URL', { ...v5, url: 5, tls: {}, websocket: {} }, '/url'],
  ])('nothing is blamed for what %s may have been', (_, document, pointer) => {
    expect(faultsOf(document).map((fault) => fault.pointer)).toEqual([pointer]);
  });

  test.each([[null], [5], ['a'], [[]], [undefined]])('%j is no document', (document) => {
    expect(faultsOf(document)).toEqual([{ pointer: '', detail: 'A Connection is described by a JSON object.' }]);
  });
});

test('the contexts of these tests allow what a plain deployment allows', () => {
  expect(open).toMatchObject({ requireTls: false, allowInsecureTls: false, quicAvailable: false });
});
