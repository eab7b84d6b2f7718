/** Carries out a publish, whichever resource it was sent to, and answers it. */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { KeptAnswer, KeptRequest, PublishRequest, PublishResult } from '../bridge/facade.ts';
import { Problem } from '../errors/problem.ts';
import type { DeclaredResponse } from '../plugins/declared-response.ts';
import { publishResult } from '../schemas/message.ts';
import { queuedPublish } from '../schemas/publication.ts';
import { type Preferences, RESPOND_ASYNC } from './publish-preferences.ts';
import { json } from './responses.ts';

const REPLAYED = { 'idempotency-replayed': '`true`: what the first request with this Idempotency-Key was answered' };
const QUEUED = {
  location: 'Where the outcome is, with `Prefer: respond-async`',
  'preference-applied': '`respond-async`: the messages are queued',
};

/** The problems of a publish whose outcome is kept. */
export const KEPT_PROBLEMS = ['still-running', 'idempotency-key-reused'] as const;

/** The answers of success; `acknowledged` describes that after the broker's acknowledgement. */
export function publishSuccesses(acknowledged: { description: string; schema: z.ZodType }) {
  const accepted = 'Handed to a live transport (QoS 0), or durably queued (`Prefer: respond-async`)';
  return {
    200: json(acknowledged.description, acknowledged.schema, REPLAYED),
    202: json(accepted, z.union([publishResult, queuedPublish]), { ...QUEUED, ...REPLAYED }),
  } satisfies Record<number, DeclaredResponse>;
}

/** Who publishes. */
export interface Publisher {
  /** Valid messages, in their order. */
  publish(requests: readonly PublishRequest[]): Promise<PublishResult[]>;
  publishKept(request: KeptRequest): Promise<KeptAnswer>;
}

/** What a request asks for. */
export interface PublishOrder {
  /** In their order; an invalid message of a batch has its problem at its place. */
  items: readonly (PublishRequest | Problem)[];
  /** Whether each message has its own result. */
  batch: boolean;
  preferences: Preferences | null;
  fingerprint: () => string;
}

/** Publishes, and answers with what became of it; throws the problem of a single message. */
export async function answerPublish(reply: FastifyReply, order: PublishOrder, by: Publisher): Promise<FastifyReply> {
  const { items, batch, preferences, fingerprint } = order;
  if (preferences === null) return sendResults(reply, await publishValid(items, by), batch);
  const kept = await by.publishKept({ ...preferences, items, batch, fingerprint: fingerprint() });
  if (kept.replayed) reply.header('idempotency-replayed', 'true');
  if ('results' in kept) return sendResults(reply, kept.results, batch);
  const { publishId } = kept;
  reply.header('location', `/v1/publishes/${publishId}`).header('preference-applied', RESPOND_ASYNC);
  return reply.code(202).send({ publishId, state: 'pending' });
}

/** The valid messages go to the bridge together. */
async function publishValid(items: PublishOrder['items'], { publish }: Publisher): Promise<PublishResult[]> {
  const valid = items.filter((item): item is PublishRequest => !(item instanceof Problem));
  const published = valid.length === 0 ? [] : await publish(valid);
  let next = 0;
  return items.map((item) => (item instanceof Problem ? item : (published[next++] ?? new Problem('internal'))));
}

function sendResults(reply: FastifyReply, results: readonly PublishResult[], batch: boolean): FastifyReply {
  if (batch) return reply.code(200).send({ results: results.map(present) });
  const [result = new Problem('internal')] = results;
  if (result instanceof Problem) throw result;
  return reply.code(result.qos === 0 ? 202 : 200).send(result);
}

function present(result: PublishResult): unknown {
  return result instanceof Problem ? result.toJSON() : result;
}
