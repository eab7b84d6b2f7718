import { describe, expect, test } from 'vitest';
import type { ProtocolVersion } from '../../../src/mqtt/protocol-version.ts';
import { validateOutgoing } from '../../../src/schemas/message-rules.ts';
import { faultsThrown } from './validate.ts';

const limits = { maxPayload: 10 };

describe('a message to publish', () => {
  test('has defaults', () => {
    expect(validateOutgoing({ topic: 'a' }, limits)).toEqual({
      topic: 'a',
      payload: new Uint8Array(0),
      qos: 0,
      retain: false,
      timeout: 5,
    });
  });

  test('carries everything', () => {
    const message = {
      topic: 'a/b',
      payload: '{"a":1}',
      qos: 2,
      retain: true,
      timeout: 0.5,
      properties: {
        payloadFormatIndicator: 1,
        messageExpiryInterval: 0,
        contentType: 'application/json',
        responseTopic: 'r',
        correlationData: 'AP8=',
        userProperties: { a: 'b', c: ['d', 'e'] },
      },
    };
    expect(validateOutgoing(message, { ...limits, protocolVersion: '5.0' })).toEqual({
      ...message,
      payload: Buffer.from('{"a":1}'),
      properties: {
        ...message.properties,
        correlationData: Buffer.from([0, 0xff]),
        userProperties: { a: ['b'], c: ['d', 'e'] },
      },
    });
  });

  test.each<[string, object, string]>([
    ['base64', { payload: '/w==', encoding: 'base64' }, '/w=='],
    ['JSON', { payload: { a: 1 }, encoding: 'json' }, 'eyJhIjoxfQ=='],
    ['JSON null', { payload: null, encoding: 'json' }, 'bnVsbA=='],
    ['nothing, to clear a retained message', { retain: true }, ''],
  ])('of %s', (_, message, base64) => {
    const { payload } = validateOutgoing({ topic: 'a', ...message }, limits);
    expect(Buffer.from(payload).toString('base64')).toBe(base64);
  });

  test('has properties on 3.x only when they are empty', () => {
    const run = () => validateOutgoing({ topic: 'a', properties: {} }, { ...limits, protocolVersion: '3.1.1' });
    expect(faultsThrown(run)).toEqual([]);
  });
});

describe('a fault of a message', () => {
  test.each<[string, unknown, string, RegExp, string?]>([
    ['no object', 'a', '', /object with a `topic`/],
    ['no topic', {}, '/topic', /`topic` is missing/, 'MQTT-3.3.2-1'],
    ['a topic of another type', { topic: 5 }, '/topic', /is a string/, 'MQTT-3.3.2-1'],
    ['an empty topic', { topic: '' }, '/topic', /empty/, 'MQTT-4.7.3-1'],
    ['a wildcard', { topic: 'a/#' }, '/topic', /wildcard "#"/, 'MQTT-3.3.2-2'],
    ['U+0000', { topic: 'a\0' }, '/topic', /U\+0000/, 'MQTT-1.5.4-2'],
    ['a lone surrogate', { topic: 'a\udc00' }, '/topic', /surrogate/, 'MQTT-1.5.4-1'],
    ['a long topic', { topic: 'a'.repeat(65_536) }, '/topic', /65536 bytes/, 'MQTT 5.0 §1.5.4'],
    ['QoS 3', { topic: 'a', qos: 3 }, '/qos', /0, 1 or 2/, 'MQTT-3.3.1-4'],
    ['QoS as text', { topic: 'a', qos: '1' }, '/qos', /0, 1 or 2/, 'MQTT-3.3.1-4'],
    ['timeout 0', { topic: 'a', timeout: 0 }, '/timeout', /above 0 and at most 60/],
    ['timeout 61', { topic: 'a', timeout: 61 }, '/timeout', /above 0 and at most 60/],
    ['an unknown member', { topic: 'a', QoS: 1 }, '/QoS', /no member "QoS"/],
    ['an unknown property', { topic: 'a', properties: { topicAlias: 1 } }, '/properties/topicAlias', /no member/],
    ['a number as text', { topic: 'a', payload: 5 }, '/payload', /"json"/],
    ['bad base64', { topic: 'a', payload: 'a', encoding: 'base64' }, '/payload', /base64/],
    ['an unknown encoding', { topic: 'a', payload: 5, encoding: 'hex' }, '/encoding', /"utf8", "base64" or "json"/],
    [
      'an indicator that lies',
      { topic: 'a', payload: '/w==', encoding: 'base64', properties: { payloadFormatIndicator: 1 } },
      '/properties/payloadFormatIndicator',
      /not UTF-8/,
      'MQTT 5.0 §3.3.2.3.2',
    ],
    [
      'a wildcard to answer to',
      { topic: 'a', properties: { responseTopic: 'a/+' } },
      '/properties/responseTopic',
      /wildcard/,
      'MQTT-3.3.2-14',
    ],
    [
      'bad Correlation Data',
      { topic: 'a', properties: { correlationData: '_-8=' } },
      '/properties/correlationData',
      /base64/,
      'MQTT 5.0 §3.3.2.3.6',
    ],
    [
      'a bad User Property',
      { topic: 'a', properties: { userProperties: { a: ['b', '\ud800'] } } },
      '/properties/userProperties/a/1',
      /surrogate/,
      'MQTT-1.5.4-1',
    ],
  ])('%s', (_, message, pointer, detail, reference) => {
    expect(faultsThrown(() => validateOutgoing(message, limits))).toEqual([
      { pointer, detail: expect.stringMatching(detail), ...(reference === undefined ? {} : { reference }) },
    ]);
  });

  test.each<[ProtocolVersion | undefined, number]>([
    [undefined, 0],
    ['5.0', 0],
    ['3.1.1', 6],
    ['3.1', 6],
  ])('properties on %s', (protocolVersion, count) => {
    const properties = {
      payloadFormatIndicator: 0,
      messageExpiryInterval: 1,
      contentType: 'a',
      responseTopic: 'b',
      correlationData: '',
      userProperties: {},
    };
    const given = protocolVersion === undefined ? limits : { ...limits, protocolVersion };
    const faults = faultsThrown(() => validateOutgoing({ topic: 'a', properties }, given));
    expect(faults.map(({ pointer }) => pointer).sort()).toEqual(
      Object.keys(properties)
        .map((name) => `/properties/${name}`)
        .sort()
        .slice(0, count),
    );
  });

  test('comes with all the others', () => {
    const message = { topic: 'a/#', payload: 5, qos: 7, foo: 1, properties: { responseTopic: '+', contentType: 5 } };
    expect(faultsThrown(() => validateOutgoing(message, limits)).map(({ pointer }) => pointer)).toEqual([
      '/qos',
      '/properties/contentType',
      '/foo',
      '/topic',
      '/payload',
      '/properties/responseTopic',
    ]);
  });
});

describe('a payload', () => {
  test('of as many bytes as are allowed passes', () => {
    expect(validateOutgoing({ topic: 'a', payload: 'ü'.repeat(5) }, limits).payload).toHaveLength(10);
  });

  test('of more is 413', () => {
    expect(() => validateOutgoing({ topic: 'a', payload: `${'ü'.repeat(5)}a` }, limits)).toThrow(
      expect.objectContaining({
        type: 'payload-too-large',
        message: 'The payload is 11 bytes, and this bridge takes at most 10.',
      }),
    );
  });

  test('of more does not hide what else is wrong', () => {
    expect(faultsThrown(() => validateOutgoing({ topic: '', payload: 'a'.repeat(11) }, limits))).toHaveLength(1);
  });
});
