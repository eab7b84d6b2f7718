import { describe, expect, it } from 'vitest';
import type { IncomingMessage } from '../../../src/mqtt/message.ts';
import { newMessage, own, plain, ROOMY, type StoreContext } from './fixtures.ts';

const EVERY_BYTE = Uint8Array.from({ length: 256 }, (_, index) => index);

const MESSAGES: Readonly<Record<string, IncomingMessage>> = {
  'a plain one': newMessage('21.5'),
  'an empty payload': newMessage('', { retain: true }),
  'every byte value': newMessage('', { payload: EVERY_BYTE }),
  'a view into a larger buffer': newMessage('', { payload: EVERY_BYTE.subarray(13, 77) }),
  'a large payload': newMessage('', { payload: Buffer.alloc(1_048_576, 'abcdefg\0') }),
  'QoS 0': newMessage('x', { qos: 0 }),
  'QoS 2, retained, duplicate': newMessage('x', { qos: 2, retain: true, dup: true }),
  'a topic beyond ASCII': newMessage('x', { topic: '/höhe/😀//\u{10ffff}/ ' }),
  'the longest topic': newMessage('x', { topic: 'é'.repeat(32_767) }),
  'empty properties': newMessage('x', { properties: {} }),
  'an oversize record': newMessage('', { oversize: 268_435_455 }),
  'every property': newMessage('x', {
    properties: {
      payloadFormatIndicator: 1,
      messageExpiryInterval: 4_294_967_295,
      contentType: 'application/json; charset="ü"',
      responseTopic: 'réponse/1',
      correlationData: EVERY_BYTE,
      userProperties: { a: ['1', '2', '1'], '': [''], 'k{}:"\\ü': ['😀'], __proto__x: ['p'] },
    },
    subscriptionIdentifiers: [1, 268_435_455, 1],
  }),
  'empty correlation data and a format of 0': newMessage('x', {
    properties: { payloadFormatIndicator: 0, correlationData: new Uint8Array(), userProperties: {} },
    subscriptionIdentifiers: [],
  }),
};

export function describeMessages(context: StoreContext): void {
  describe('a message', () => {
    it.each(Object.entries(MESSAGES))('comes back as it went in: %s', async (_name, given) => {
      const { store } = context;
      const lease = await own(store);
      await store.inbound.append(lease, 1, [{ kind: 'message', message: given }], ROOMY);
      const { messages } = await store.queues.read(lease.key, null, 2);
      expect(messages).toHaveLength(1);
      expect(messages[0]?.deliveryCount).toBe(0);
      expect(messages.map(({ message }) => plain(message))).toEqual([plain(given)]);
    });
  });
}
