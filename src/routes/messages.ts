import { z } from 'zod';
import { checkTopicFilter } from '../mqtt/topics.ts';
import { refuseBreach } from '../plugins/validation.ts';
import { connectionPath, decodeId } from '../schemas/common.ts';
import { acknowledgeQuery, messagesPage, messagesQuery, presentMessage } from '../schemas/queued-message.ts';
import { json, ON_CONNECTION, responses } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const acknowledged = z
  .object({ removed: z.int().describe('How many messages were removed; 0 when they were gone already.') })
  .meta({ id: 'Acknowledged', examples: [{ removed: 12 }] });

export const addMessageRoutes: AddRoutes = (app, { bridge, maxWait }) => {
  // A long poll would outlast a shutdown: it answers at once with what there is.
  const closing = new AbortController();
  app.addHook('preClose', async () => closing.abort());

  app.route({
    method: 'GET',
    url: '/v1/connections/:id/messages',
    schema: {
      operationId: 'readMessages',
      summary: 'Read queued messages without removing them',
      tags: TAGS.messages,
      params: connectionPath,
      querystring: messagesQuery,
      response: responses({ 200: json('A page of the queue', messagesPage) }, 'invalid-cursor', ...ON_CONNECTION),
    },
    handler: async (request) => {
      const { after = null, limit, wait, drain, encoding, topic } = request.query;
      const page = await bridge.readMessages(decodeId(request.params.id), {
        after,
        limit,
        waitMs: Math.min(wait, maxWait) * 1000,
        filter: toFilter(topic),
        drain: drain === 'true',
        signal: wait === 0 ? request.signal : AbortSignal.any([request.signal, request.ending, closing.signal]),
      });
      return {
        ...page,
        messages: page.messages.map(({ id, message, deliveryCount }) =>
          presentMessage(message, id, deliveryCount, encoding),
        ),
      };
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/connections/:id/messages',
    schema: {
      operationId: 'acknowledgeMessages',
      summary: 'Remove messages up to a cursor',
      description: 'Idempotent. With `topic`, only what matches is removed.',
      tags: TAGS.messages,
      params: connectionPath,
      querystring: acknowledgeQuery,
      response: responses({ 200: json('They are gone', acknowledged) }, 'invalid-cursor', ...ON_CONNECTION),
    },
    handler: (request) => {
      const { through, topic } = request.query;
      return bridge.acknowledgeMessages(decodeId(request.params.id), { through, filter: toFilter(topic) });
    },
  });
};

function toFilter(topic: string | undefined): string | null {
  if (topic === undefined) return null;
  refuseBreach('topic', 'The Topic Filter', checkTopicFilter(topic));
  return topic;
}
