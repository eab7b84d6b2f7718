import { z } from 'zod';
import type { PublicationView } from '../bridge/facade.ts';
import { Problem } from '../errors/problem.ts';
import { publicationView } from '../schemas/publication.ts';
import { json, responses } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const publishPath = z.strictObject({
  publishId: z
    .string()
    .min(1)
    .describe('As `Location` named it.')
    .meta({ examples: ['SzE3LnBSUWYyZw'] }),
});

export const addPublicationRoutes: AddRoutes = (app, { bridge }) => {
  app.route({
    method: 'GET',
    url: '/v1/publishes/:publishId',
    schema: {
      operationId: 'getPublish',
      summary: 'What became of a queued publish',
      description: 'For 24 hours after it is `done`. Any instance answers, whoever owns the Connection.',
      tags: TAGS.messages,
      params: publishPath,
      response: responses({ 200: json('Its state, and the outcomes so far', publicationView) }, 'publish-not-found'),
    },
    handler: async (request) => present(await bridge.getPublication(request.params.publishId)),
  });
};

function present({ publishId, acceptedAt, batch, results }: PublicationView) {
  const shown = results.map((result) => (result instanceof Problem ? result.toJSON() : result));
  return {
    publishId,
    state: results.includes(null) ? 'pending' : 'done',
    acceptedAt: new Date(acceptedAt).toISOString(),
    ...(batch ? { results: shown } : { result: shown[0] ?? null }),
  };
}
