import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IncomingMessage, MessageProperties, QoS } from '../../../src/mqtt/message.ts';
import { decodeMessage, encodeMessage, UnreadableMessage } from '../../../src/store/message-codec.ts';
import { plain } from '../../contract/store/fixtures.ts';

const PLAIN: IncomingMessage = {
  topic: 'plant/7/température',
  payload: Buffer.from('21.5'),
  qos: 1,
  retain: false,
  dup: false,
  receivedAt: 1_790_000_000_123,
};

const text = fc.string({ unit: 'binary', maxLength: 40 });
const bytes = fc.uint8Array({ maxLength: 300 });
const properties: fc.Arbitrary<MessageProperties> = fc.record(
  {
    payloadFormatIndicator: fc.constantFrom<0 | 1>(0, 1),
    messageExpiryInterval: fc.integer({ min: 0, max: 0xffff_ffff }),
    contentType: text,
    responseTopic: text,
    correlationData: bytes,
    userProperties: fc.dictionary(fc.oneof(text, fc.constant('__proto__')), fc.array(text, { maxLength: 3 }), {
      noNullPrototype: true,
    }),
  },
  { requiredKeys: [], noNullPrototype: true },
);
const message: fc.Arbitrary<IncomingMessage> = fc.record(
  {
    topic: text,
    payload: bytes,
    qos: fc.constantFrom<QoS>(0, 1, 2),
    retain: fc.boolean(),
    dup: fc.boolean(),
    receivedAt: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    properties,
    subscriptionIdentifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 4 }),
    oversize: fc.integer({ min: 1, max: 268_435_455 }),
  },
  { requiredKeys: ['topic', 'payload', 'qos', 'retain', 'dup', 'receivedAt'], noNullPrototype: true },
);

describe('the stored form of a message', () => {
  it('gives back any message that went in', () => {
    fc.assert(
      fc.property(message, (given) => {
        expect(plain(decodeMessage(encodeMessage(given)))).toEqual(plain(given));
      }),
    );
  });

  it('tells absent properties (3.x) from empty ones (5.0)', () => {
    expect(decodeMessage(encodeMessage(PLAIN))).not.toHaveProperty('properties');
    expect(decodeMessage(encodeMessage({ ...PLAIN, properties: {} })).properties).toEqual({});
  });

  it('reads bytes that lie inside a larger buffer, and takes the payload without copying it', () => {
    const encoded = encodeMessage(PLAIN);
    const larger = new Uint8Array(encoded.length + 20).fill(0xff);
    larger.set(encoded, 10);
    const decoded = decodeMessage(larger.subarray(10, 10 + encoded.length));
    expect(plain(decoded)).toEqual(plain(PLAIN));
    expect(decoded.payload.buffer).toBe(larger.buffer);
  });

  it('keeps to 16 bytes above topic and payload for an ordinary message', () => {
    expect(encodeMessage(PLAIN).length).toBe(16 + Buffer.byteLength(PLAIN.topic) + PLAIN.payload.length);
  });

  it('takes the longest topic that MQTT allows', () => {
    const topic = 'é'.repeat(32_767);
    expect(decodeMessage(encodeMessage({ ...PLAIN, topic })).topic).toBe(topic);
  });

  it('stays readable: these bytes were written by version 1', () => {
    const prefix = '0106427a0c4506c7b000000400000059';
    const topic = Buffer.from('a/é').toString('hex');
    const header = Buffer.from(
      '{"properties":{"contentType":"x"},"correlationData":"AQI=","subscriptionIdentifiers":[7]}',
    ).toString('hex');
    const written: IncomingMessage = {
      topic: 'a/é',
      payload: Uint8Array.of(0, 255, 1),
      qos: 2,
      retain: true,
      dup: false,
      receivedAt: 1_790_000_000_123,
      properties: { contentType: 'x', correlationData: Uint8Array.of(1, 2) },
      subscriptionIdentifiers: [7],
    };
    const bytes = Buffer.from(`${prefix}${topic}${header}00ff01`, 'hex');
    expect(plain(decodeMessage(bytes))).toEqual(plain(written));
    expect(encodeMessage(written)).toEqual(bytes);
  });

  it('ignores header members that it does not know', () => {
    const header = '{"oversize":9,"later":{"x":1}}';
    const encoded = encodeMessage({ ...PLAIN, topic: 't', payload: new Uint8Array() });
    encoded.writeUInt32BE(header.length, 12);
    const decoded = decodeMessage(Buffer.concat([encoded, Buffer.from(header), Buffer.from('body')]));
    expect(decoded).toMatchObject({ topic: 't', oversize: 9 });
    expect(decoded).not.toHaveProperty('later');
    expect(Buffer.from(decoded.payload).toString()).toBe('body');
  });

  it('refuses a version that it does not know, and says so', () => {
    const encoded = encodeMessage(PLAIN);
    encoded[0] = 2;
    expect(() => decodeMessage(encoded)).toThrow(UnreadableMessage);
    expect(() => decodeMessage(encoded)).toThrow('version 2');
    expect(() => decodeMessage(new Uint8Array())).toThrow('version (none)');
  });

  it('refuses bytes that are cut short or damaged', () => {
    const encoded = encodeMessage({ ...PLAIN, payload: new Uint8Array(), properties: { contentType: 'text/plain' } });
    for (let length = 0; length < encoded.length; length++) {
      expect(() => decodeMessage(encoded.subarray(0, length))).toThrow(UnreadableMessage);
    }
    encoded[encoded.length - 1] = 0x2c;
    expect(() => decodeMessage(encoded)).toThrow('damaged');
  });
});
