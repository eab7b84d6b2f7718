import { z } from 'zod';
import { json, problemResponses } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const part = z.object({ ok: z.boolean(), detail: z.string().optional() });

const health = z.object({ status: z.literal('ok') }).meta({ id: 'Health', examples: [{ status: 'ok' }] });

const readiness = z
  .object({
    ready: z.boolean(),
    store: part.describe('Whether the store answers.'),
    broker: part.describe('Whether the default broker can be reached.'),
  })
  .meta({ id: 'Readiness', examples: [{ ready: true, store: { ok: true }, broker: { ok: true } }] });

export const addHealthRoutes: AddRoutes = (app, { bridge, isLeaving }) => {
  app.route({
    method: 'GET',
    url: '/healthz',
    config: { open: true, alone: true, produces: null },
    schema: {
      operationId: 'getHealth',
      summary: 'Whether the process is alive',
      tags: TAGS.service,
      security: [],
      response: { 200: json('It is', health), ...problemResponses(['invalid-request', 'internal']) },
    },
    handler: async () => ({ status: 'ok' as const }),
  });

  app.route({
    method: 'GET',
    url: '/readyz',
    config: { open: true, produces: null },
    schema: {
      operationId: 'getReadiness',
      summary: 'Whether requests can be served',
      description: 'Not ready either: a process that is about to stop.',
      tags: TAGS.service,
      security: [],
      response: {
        200: json('Ready', readiness),
        503: json('Not ready', readiness),
        ...problemResponses(['invalid-request', 'internal']),
      },
    },
    handler: async (_request, reply) => {
      const state = await bridge.readiness();
      const ready = state.ready && !isLeaving();
      return reply.code(ready ? 200 : 503).send({ ...state, ready });
    },
  });
};
