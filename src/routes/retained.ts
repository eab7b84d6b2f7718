import { z } from 'zod';
import { checkTopicFilter, isShared } from '../mqtt/topics.ts';
import { refuseBreach } from '../plugins/validation.ts';
import { brokerParameter, integerParameter } from '../schemas/common.ts';
import { invalid } from '../schemas/faults.ts';
import { lazily } from '../schemas/lazily.ts';
import { presentMessage, queuedMessage, readEncoding } from '../schemas/queued-message.ts';
import { AT_BROKER, json, responses } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

/** Milliseconds until a broker must have begun to send. */
export const RETAINED_TIMEOUT = 10_000;

const retainedQuery = lazily(() =>
  z.strictObject({
    filter: z
      .string()
      .min(1)
      .describe('Topic Filter; wildcards too, but no shared subscription.')
      .meta({ examples: ['plant/#'] }),
    broker: brokerParameter,
    limit: integerParameter(1, 1000, 100, 'limit').describe('Messages at most, 1–1000; default 100.'),
    after: z.string().min(1).optional().describe('`next` of the page before.'),
    encoding: readEncoding.default('auto'),
  }),
);

const retainedPage = lazily(() =>
  z
    .object({
      messages: z.array(queuedMessage.unwrap().omit({ id: true, deliveryCount: true })),
      complete: z
        .boolean()
        .describe(
          'Whether the broker had fallen silent: MQTT does not mark the end, so only then is the list known to be whole.',
        ),
      next: z.string().nullable().describe('`after` of the next page; null on the last.'),
    })
    .meta({ id: 'RetainedPage' }),
);

export const addRetainedRoutes: AddRoutes = (app, { bridge }) => {
  app.route({
    method: 'GET',
    url: '/v1/retained',
    schema: {
      operationId: 'listRetained',
      summary: 'Read retained messages under a filter',
      tags: TAGS.topics,
      querystring: retainedQuery,
      response: responses(
        { 200: json('Retained messages, in the order of their topics', retainedPage) },
        'not-owner',
        'overloaded',
        ...AT_BROKER,
      ),
    },
    handler: async (request) => {
      const { filter, broker, limit, after = null, encoding } = request.query;
      checkFilter(filter);
      const page = await bridge.retainedMessages(broker, { filter, limit, after, timeoutMs: RETAINED_TIMEOUT });
      const messages = page.messages.map((message) => {
        const { id: _id, deliveryCount: _count, ...shown } = presentMessage(message, '', 0, encoding);
        return shown;
      });
      return { ...page, messages };
    },
  });
};

function checkFilter(filter: string): void {
  if (isShared(filter)) {
    const detail = 'A shared subscription is not sent retained messages: name the filter inside it.';
    throw invalid([{ pointer: '?filter', detail, reference: 'MQTT 5.0 §4.8.2' }]);
  }
  refuseBreach('filter', 'The Topic Filter', checkTopicFilter(filter));
}
