import { z } from 'zod';
import { json, problemResponses } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const document = z.record(z.string(), z.unknown()).describe('An OpenAPI 3.1 document.');

export const addReferenceRoutes: AddRoutes = (app, { contract }) => {
  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: {
      operationId: 'getContract',
      summary: 'This document',
      tags: TAGS.service,
      response: {
        200: json('The OpenAPI document of this bridge', document),
        ...problemResponses(['unauthorized', 'forbidden', 'not-acceptable', 'internal']),
      },
    },
    handler: async () => ({ ...(await contract()) }),
  });
};
