import { z } from 'zod';
import type { PublishRequest } from '../bridge/facade.ts';
import { Problem } from '../errors/problem.ts';
import { byHandler } from '../plugins/validation.ts';
import { brokerParameter, connectionPath, decodeId } from '../schemas/common.ts';
import { invalid } from '../schemas/faults.ts';
import { batchResult, MAX_BATCH, publishBody, publishResult } from '../schemas/message.ts';
import { validateOutgoing } from '../schemas/message-rules.ts';
import { answerPublish, KEPT_PROBLEMS, type PublishOrder, publishSuccesses } from './publish-answers.ts';
import { fingerprintOf, preferenceHeaders, readPreferences } from './publish-preferences.ts';
import { AT_BROKER, ON_CONNECTION, responses, WITH_BODY } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const poolQuery = z.strictObject({ broker: brokerParameter });

const SUCCESSES = publishSuccesses({
  description: 'The broker has acknowledged (QoS 1 and 2), or the results of a batch',
  schema: z.union([publishResult, batchResult]),
});
const PUBLISH_PROBLEMS = ['outcome-unknown', ...KEPT_PROBLEMS, ...WITH_BODY, ...AT_BROKER] as const;

export const addPublishRoutes: AddRoutes = (app, { bridge, limits, maxPayload }) => {
  app.route({
    method: 'POST',
    url: '/v1/connections/:id/publish',
    bodyLimit: limits.batch,
    schema: {
      operationId: 'publishAsConnection',
      summary: 'Publish as a Connection’s ClientID',
      description: 'One message, or an array: then one bad message does not fail the others, and each has its result.',
      tags: TAGS.messages,
      params: connectionPath,
      headers: preferenceHeaders,
      body: publishBody,
      response: responses(SUCCESSES, 'connection-not-usable', ...PUBLISH_PROBLEMS, ...ON_CONNECTION),
    },
    validatorCompiler: byHandler('body', 'headers'),
    handler: (request, reply) => {
      const id = decodeId(request.params.id);
      return answerPublish(reply, toOrder(request, maxPayload), {
        publish: (requests) => bridge.publish(id, requests),
        publishKept: (kept) => bridge.publishKept(id, kept),
      });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/publish',
    bodyLimit: limits.batch,
    schema: {
      operationId: 'publish',
      summary: 'Publish without a Connection of one’s own',
      description: 'Through a publisher of the bridge’s own at that broker. An Idempotency-Key counts for that broker.',
      tags: TAGS.messages,
      querystring: poolQuery,
      headers: preferenceHeaders,
      body: publishBody,
      response: responses(SUCCESSES, 'overloaded', 'not-owner', ...PUBLISH_PROBLEMS),
    },
    validatorCompiler: byHandler('body', 'headers'),
    handler: (request, reply) => {
      const { broker } = request.query;
      return answerPublish(reply, toOrder(request, maxPayload), {
        publish: (requests) => bridge.publishPooled(broker, requests),
        publishKept: (kept) => bridge.publishPooledKept(broker, kept),
      });
    },
  });
};

function toOrder(
  { body, headers }: { body: unknown; headers: Parameters<typeof readPreferences>[0] },
  maxPayload: number,
): PublishOrder {
  const batch = Array.isArray(body);
  const preferences = readPreferences(headers);
  const items = batch ? checkAll(body, maxPayload) : [toRequest(body, maxPayload)];
  return { items, batch, preferences, fingerprint: () => fingerprintOf(body) };
}

function checkAll(items: unknown[], maxPayload: number): (PublishRequest | Problem)[] {
  if (items.length === 0 || items.length > MAX_BATCH) {
    throw invalid([{ pointer: '', detail: `A batch has 1 to ${MAX_BATCH} messages, not ${items.length}.` }]);
  }
  return items.map((item) => check(item, maxPayload));
}

function check(item: unknown, maxPayload: number): PublishRequest | Problem {
  try {
    return toRequest(item, maxPayload);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

function toRequest(input: unknown, maxPayload: number): PublishRequest {
  const { timeout, ...message } = validateOutgoing(input, { maxPayload });
  return { message, timeoutMs: timeout * 1000 };
}
