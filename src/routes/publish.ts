import { z } from 'zod';
import type { PublishRequest, PublishResult } from '../bridge/facade.ts';
import { Problem } from '../errors/problem.ts';
import type { PublishOutcome } from '../mqtt/message.ts';
import { bodyByHandler } from '../plugins/validation.ts';
import { brokerParameter, connectionPath, decodeId } from '../schemas/common.ts';
import { invalid } from '../schemas/faults.ts';
import { batchResult, MAX_BATCH, publishBody, publishResult } from '../schemas/message.ts';
import { validateOutgoing } from '../schemas/message-rules.ts';
import { refuseIdempotencyKey } from './idempotency.ts';
import { AT_BROKER, json, ON_CONNECTION, responses, WITH_BODY } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

/** Publishes valid messages, in order. */
type Publish = (requests: readonly PublishRequest[]) => Promise<PublishResult[]>;

interface Answer {
  status: 200 | 202;
  body: PublishOutcome | { results: unknown[] };
}

const poolQuery = z.strictObject({ broker: brokerParameter });

const SUCCESSES = {
  200: json(
    'The broker has acknowledged (QoS 1 and 2), or the results of a batch',
    z.union([publishResult, batchResult]),
  ),
  202: json('Handed to a live transport (QoS 0)', publishResult),
};

const PUBLISH_PROBLEMS = ['outcome-unknown', 'connection-not-usable', ...WITH_BODY, ...AT_BROKER] as const;

export const addPublishRoutes: AddRoutes = (app, { bridge, limits, maxPayload }) => {
  app.route({
    method: 'POST',
    url: '/v1/connections/:id/publish',
    bodyLimit: limits.batch,
    onRequest: refuseIdempotencyKey,
    schema: {
      operationId: 'publishAsConnection',
      summary: 'Publish as a Connection’s ClientID',
      description: 'One message, or an array: then one bad message does not fail the others, and each has its result.',
      tags: TAGS.messages,
      params: connectionPath,
      body: publishBody,
      response: responses(SUCCESSES, ...PUBLISH_PROBLEMS, ...ON_CONNECTION),
    },
    validatorCompiler: bodyByHandler,
    handler: async (request, reply) => {
      const id = decodeId(request.params.id);
      const { status, body } = await answer(request.body, maxPayload, (messages) => bridge.publish(id, messages));
      return reply.code(status).send(body);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/publish',
    bodyLimit: limits.batch,
    onRequest: refuseIdempotencyKey,
    schema: {
      operationId: 'publish',
      summary: 'Publish without a Connection of one’s own',
      tags: TAGS.messages,
      querystring: poolQuery,
      body: publishBody,
      response: responses(SUCCESSES, 'overloaded', 'not-owner', ...PUBLISH_PROBLEMS),
    },
    validatorCompiler: bodyByHandler,
    handler: async (request, reply) => {
      const { broker } = request.query;
      const { status, body } = await answer(request.body, maxPayload, (messages) =>
        bridge.publishPooled(broker, messages),
      );
      return reply.code(status).send(body);
    },
  });
};

async function answer(body: unknown, maxPayload: number, publish: Publish): Promise<Answer> {
  if (Array.isArray(body)) return { status: 200, body: { results: await publishBatch(body, maxPayload, publish) } };
  const outcome = await publishOne(toRequest(body, maxPayload), publish);
  return { status: outcome.qos === 0 ? 202 : 200, body: outcome };
}

/** Publishes a single message; throws what became of it when that is a problem. */
export async function publishOne(request: PublishRequest, publish: Publish): Promise<PublishOutcome> {
  const [result] = await publish([request]);
  if (result === undefined) throw new Problem('internal');
  if (result instanceof Problem) throw result;
  return result;
}

/** The valid messages of the batch go to the bridge together; what is invalid has its problem at its place. */
async function publishBatch(items: unknown[], maxPayload: number, publish: Publish): Promise<unknown[]> {
  if (items.length === 0 || items.length > MAX_BATCH) {
    throw invalid([{ pointer: '', detail: `A batch has 1 to ${MAX_BATCH} messages, not ${items.length}.` }]);
  }
  const checked = items.map((item) => check(item, maxPayload));
  const valid = checked.filter((item): item is PublishRequest => !(item instanceof Problem));
  const published = valid.length === 0 ? [] : await publish(valid);
  let next = 0;
  return checked.map((item) => {
    const result = item instanceof Problem ? item : published[next++];
    return result instanceof Problem ? result.toJSON() : result;
  });
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
