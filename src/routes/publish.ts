import { z } from 'zod';
import type { KeptAnswer, KeptRequest, PublishRequest, PublishResult } from '../bridge/facade.ts';
import { Problem } from '../errors/problem.ts';
import type { PublishOutcome } from '../mqtt/message.ts';
import { byHandler } from '../plugins/validation.ts';
import { brokerParameter, connectionPath, decodeId } from '../schemas/common.ts';
import { invalid } from '../schemas/faults.ts';
import { batchResult, MAX_BATCH, publishBody, publishResult } from '../schemas/message.ts';
import { validateOutgoing } from '../schemas/message-rules.ts';
import { queuedPublish } from '../schemas/publication.ts';
import {
  fingerprintOf,
  type Preferences,
  preferenceHeaders,
  RESPOND_ASYNC,
  readPreferences,
  refusePreferences,
} from './publish-preferences.ts';
import { AT_BROKER, json, ON_CONNECTION, responses, WITH_BODY } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

/** Publishes valid messages, in order. */
type Publish = (requests: readonly PublishRequest[]) => Promise<PublishResult[]>;

interface Answer {
  status: 200 | 202;
  body: PublishOutcome | { results: unknown[] };
}

const poolQuery = z.strictObject({ broker: brokerParameter });

const ACKNOWLEDGED = 'The broker has acknowledged (QoS 1 and 2), or the results of a batch';
const acknowledgement = z.union([publishResult, batchResult]);

const REPLAYED = { 'idempotency-replayed': '`true`: what the first request with this Idempotency-Key was answered' };
const QUEUED = {
  location: 'Where the outcome is, with `Prefer: respond-async`',
  'preference-applied': '`respond-async`: the messages are queued',
};

const PUBLISH_PROBLEMS = ['outcome-unknown', 'connection-not-usable', ...WITH_BODY, ...AT_BROKER] as const;
const KEPT_PROBLEMS = ['still-running', 'idempotency-key-reused'] as const;

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
      response: responses(
        {
          200: json(ACKNOWLEDGED, acknowledgement, REPLAYED),
          202: json(
            'Handed to a live transport (QoS 0), or durably queued (`Prefer: respond-async`)',
            z.union([publishResult, queuedPublish]),
            { ...QUEUED, ...REPLAYED },
          ),
        },
        ...KEPT_PROBLEMS,
        ...PUBLISH_PROBLEMS,
        ...ON_CONNECTION,
      ),
    },
    validatorCompiler: byHandler('body', 'headers'),
    handler: async (request, reply) => {
      const id = decodeId(request.params.id);
      const preferences = readPreferences(request.headers);
      if (preferences === null) {
        const { status, body } = await answer(request.body, maxPayload, (messages) => bridge.publish(id, messages));
        return reply.code(status).send(body);
      }
      const kept = await bridge.publishKept(id, toKeptRequest(request.body, preferences, maxPayload));
      if (kept.replayed) reply.header('idempotency-replayed', 'true');
      if ('publishId' in kept) {
        reply.header('location', `/v1/publishes/${kept.publishId}`).header('preference-applied', RESPOND_ASYNC);
        return reply.code(202).send({ publishId: kept.publishId, state: 'pending' });
      }
      const { status, body } = answerKept(kept, Array.isArray(request.body));
      return reply.code(status).send(body);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/publish',
    bodyLimit: limits.batch,
    onRequest: refusePreferences,
    schema: {
      operationId: 'publish',
      summary: 'Publish without a Connection of one’s own',
      description: '`Idempotency-Key` and `Prefer: respond-async` are refused: no Connection would keep the outcome.',
      tags: TAGS.messages,
      querystring: poolQuery,
      body: publishBody,
      response: responses(
        { 200: json(ACKNOWLEDGED, acknowledgement), 202: json('Handed to a live transport (QoS 0)', publishResult) },
        'overloaded',
        'not-owner',
        ...PUBLISH_PROBLEMS,
      ),
    },
    validatorCompiler: byHandler('body'),
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
  return answerOne(await publishOne(toRequest(body, maxPayload), publish));
}

function answerOne(outcome: PublishOutcome): Answer {
  return { status: outcome.qos === 0 ? 202 : 200, body: outcome };
}

/** The same answer, of results that may be older than the request. */
function answerKept(kept: Extract<KeptAnswer, { results: unknown }>, batch: boolean): Answer {
  return batch ? { status: 200, body: { results: kept.results.map(present) } } : answerOne(only(kept.results));
}

function toKeptRequest(body: unknown, preferences: Preferences, maxPayload: number): KeptRequest {
  const batch = Array.isArray(body);
  const items = batch ? checkAll(body, maxPayload) : [toRequest(body, maxPayload)];
  return { ...preferences, batch, items, fingerprint: fingerprintOf(body) };
}

/** Publishes a single message; throws what became of it when that is a problem. */
export async function publishOne(request: PublishRequest, publish: Publish): Promise<PublishOutcome> {
  return only(await publish([request]));
}

function only([result]: readonly PublishResult[]): PublishOutcome {
  if (result === undefined) throw new Problem('internal');
  if (result instanceof Problem) throw result;
  return result;
}

/** The valid messages of the batch go to the bridge together; what is invalid has its problem at its place. */
async function publishBatch(items: unknown[], maxPayload: number, publish: Publish): Promise<unknown[]> {
  const checked = checkAll(items, maxPayload);
  const valid = checked.filter((item): item is PublishRequest => !(item instanceof Problem));
  const published = valid.length === 0 ? [] : await publish(valid);
  let next = 0;
  return checked.map((item) => present(item instanceof Problem ? item : published[next++]));
}

function present(result: PublishResult | undefined): unknown {
  return result instanceof Problem ? result.toJSON() : result;
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
