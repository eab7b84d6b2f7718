import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { IncomingMessage } from '../../../src/mqtt/message.ts';
import { acknowledgeQuery, messagesQuery, presentMessage, queuedMessage } from '../../../src/schemas/queued-message.ts';

const message: IncomingMessage = {
  topic: 'plant/7/temperature',
  payload: Buffer.from('21.5'),
  qos: 1,
  retain: false,
  dup: true,
  receivedAt: Date.UTC(2026, 10, 22, 16, 55),
};

describe('a message as it is answered', () => {
  test('has what the broker delivered', () => {
    expect(presentMessage(message, '7', 2, 'auto')).toEqual({
      id: '7',
      topic: 'plant/7/temperature',
      payload: '21.5',
      encoding: 'utf8',
      qos: 1,
      retain: false,
      dup: true,
      receivedAt: '2026-11-22T16:55:00.000Z',
      deliveryCount: 2,
    });
  });

  test('has its properties, bytes among them as base64', () => {
    const properties = { contentType: 'x', correlationData: Buffer.from([0xff]), userProperties: { a: ['b'] } };
    const shown = presentMessage({ ...message, properties, subscriptionIdentifiers: [7] }, '7', 0, 'json');
    expect(shown).toMatchObject({
      payload: 21.5,
      encoding: 'json',
      properties: { contentType: 'x', correlationData: '/w==', userProperties: { a: ['b'] } },
      subscriptionIdentifiers: [7],
    });
    expect(queuedMessage.encode(shown)).toEqual(shown);
  });

  test('tells of a payload that was not kept', () => {
    const shown = presentMessage({ ...message, payload: Buffer.alloc(0), oversize: 5_000_000 }, '7', 0, 'auto');
    expect(shown).toMatchObject({ payload: null, oversize: 5_000_000 });
  });
});

describe('the query of a read', () => {
  test.each<[object, object]>([
    [{}, { limit: 100, wait: 0, encoding: 'auto' }],
    [
      { limit: '1', wait: '0' },
      { limit: 1, wait: 0 },
    ],
    [
      { limit: '1000', wait: '60', encoding: 'base64', topic: 'a/#', after: 'x' },
      { limit: 1000, wait: 60, topic: 'a/#', after: 'x' },
    ],
  ])('%j', (query, expected) => {
    expect(messagesQuery.parse(query)).toMatchObject(expected);
  });

  test.each([
    [{ limit: '0' }],
    [{ limit: '1001' }],
    [{ limit: '' }],
    [{ limit: '1e2' }],
    [{ limit: '0x10' }],
    [{ limit: ' 5' }],
    [{ limit: ['1', '2'] }],
    [{ wait: '61' }],
    [{ wait: '1.5' }],
    [{ wait: '-1' }],
    [{ encoding: 'hex' }],
    [{ after: '' }],
    [{ foo: '1' }],
  ])('may not be %j', (query) => {
    expect(messagesQuery.safeParse(query).success).toBe(false);
  });

  test('has its ranges in the JSON Schema', () => {
    expect(z.toJSONSchema(messagesQuery, { io: 'input' }).properties).toMatchObject({
      limit: { type: 'integer', minimum: 1, maximum: 1000 },
      wait: { type: 'integer', minimum: 0, maximum: 60 },
    });
  });

  test('an acknowledgement names its cursor', () => {
    expect(acknowledgeQuery.safeParse({}).success).toBe(false);
    expect(acknowledgeQuery.safeParse({ through: '5', topic: 'a/#' }).success).toBe(true);
  });
});
