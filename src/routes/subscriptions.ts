import { z } from 'zod';
import { Problem } from '../errors/problem.ts';
import { byHandler } from '../plugins/validation.ts';
import { connectionPath, decodeId } from '../schemas/common.ts';
import { subscriptionBody, subscriptionList, subscriptionResults } from '../schemas/subscription.ts';
import { validateSubscriptions } from '../schemas/subscription-rules.ts';
import { AT_BROKER, empty, json, ON_CONNECTION, responses, WITH_BODY } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const filterQuery = z.strictObject({
  filter: z
    .string()
    .min(1)
    .describe('The Topic Filter, as it was subscribed.')
    .meta({ examples: ['plant/+/state'] }),
});

export const addSubscriptionRoutes: AddRoutes = (app, { bridge }) => {
  app.route({
    method: 'GET',
    url: '/v1/connections/:id/subscriptions',
    schema: {
      operationId: 'listSubscriptions',
      summary: 'List the subscriptions of a Connection',
      tags: TAGS.connections,
      params: connectionPath,
      response: responses({ 200: json('The subscriptions', subscriptionList) }, ...ON_CONNECTION),
    },
    handler: async (request) => ({ subscriptions: await bridge.listSubscriptions(decodeId(request.params.id)) }),
  });

  app.route({
    method: 'POST',
    url: '/v1/connections/:id/subscriptions',
    schema: {
      operationId: 'subscribe',
      summary: 'Subscribe',
      description:
        'Answers after SUBACK. A single subscription that the broker refuses is 422; in an array each has its own reason code.',
      tags: TAGS.connections,
      params: connectionPath,
      body: subscriptionBody,
      response: responses(
        {
          200: json('What the broker granted', subscriptionResults),
          202: json('The Connection is not attached: subscribed at its next attach', subscriptionResults),
        },
        'changed-meanwhile',
        ...ON_CONNECTION,
        ...WITH_BODY,
        ...AT_BROKER,
      ),
    },
    validatorCompiler: byHandler('body'),
    handler: async (request, reply) => {
      const id = decodeId(request.params.id);
      const { parameters } = await bridge.getConnection(id);
      const subscriptions = validateSubscriptions(request.body, parameters.protocolVersion);
      const outcome = await bridge.addSubscriptions(id, subscriptions);
      const refusal = Array.isArray(request.body) ? null : outcome.results[0]?.granted;
      if (refusal?.qos === null) {
        const { reasonCode, reason } = refusal;
        throw new Problem('broker-refused', {
          detail: `The broker refused the subscription: ${reason}.`,
          reasonCode,
          reason,
        });
      }
      return reply.code(outcome.applied ? 200 : 202).send(outcome);
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/connections/:id/subscriptions',
    schema: {
      operationId: 'unsubscribe',
      summary: 'Unsubscribe from a filter',
      tags: TAGS.connections,
      params: connectionPath,
      querystring: filterQuery,
      response: responses(
        { 204: empty('Unsubscribed') },
        'subscription-not-found',
        'changed-meanwhile',
        ...ON_CONNECTION,
        ...AT_BROKER,
      ),
    },
    handler: async (request, reply) => {
      await bridge.removeSubscription(decodeId(request.params.id), request.query.filter);
      return reply.code(204).send();
    },
  });
};
