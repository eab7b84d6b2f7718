import { z } from 'zod';
import { inScope } from '../plugins/app.ts';
import { addJsonParser } from '../plugins/json-bodies.ts';
import { byHandler } from '../plugins/validation.ts';
import { connectionPath, decodeId, encodeId, integerParameter } from '../schemas/common.ts';
import { connectionParameters } from '../schemas/connection.ts';
import { connectionPatch } from '../schemas/connection-patch.ts';
import { CONNECTION_STATES, connectionList, connectionView } from '../schemas/connection-view.ts';
import { invalid } from '../schemas/faults.ts';
import { AT_BROKER, empty, json, ON_CONNECTION, responses, WITH_BODY } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const MERGE_PATCH = 'application/merge-patch+json';
const LOCATION = { location: 'The path of the Connection.' };

const listQuery = z.strictObject({
  state: z.enum(CONNECTION_STATES).optional().describe('Only Connections in this state.'),
  limit: integerParameter(1, 1000, 100, 'limit').describe('Connections at most, 1–1000; default 100.'),
  after: z
    .string()
    .min(1)
    .optional()
    .describe('`next` of the page before.')
    .meta({ examples: ['plant-7'] }),
});

const deleteQuery = z.strictObject({
  session: z.literal('keep').optional().describe('`keep`: leave the session at the broker; else it is discarded.'),
  will: z.literal('send').optional().describe('`send`: let the broker publish the Will.'),
});

export const addConnectionRoutes: AddRoutes = (app, { bridge, validateConnection }) => {
  app.route({
    method: 'POST',
    url: '/v1/connections',
    schema: {
      operationId: 'openConnection',
      summary: 'Open a Connection and wait for CONNACK',
      description: 'Nothing is kept when the broker refuses or cannot be reached.',
      tags: TAGS.connections,
      body: connectionParameters,
      response: responses(
        {
          200: json('It exists with the same parameters', connectionView, LOCATION),
          201: json('The Connection is open', connectionView, LOCATION),
        },
        'id-in-use',
        'client-id-in-use',
        'different-parameters',
        'not-owner',
        'overloaded',
        ...WITH_BODY,
        ...AT_BROKER,
      ),
    },
    validatorCompiler: byHandler('body'),
    handler: async (request, reply) => {
      const { created, connection } = await bridge.openConnection(validateConnection(request.body));
      return reply
        .code(created ? 201 : 200)
        .header('location', pathOf(connection.id))
        .send(connection);
    },
  });

  app.route({
    method: 'PUT',
    url: '/v1/connections/:id',
    schema: {
      operationId: 'declareConnection',
      summary: 'Declare what a Connection should be',
      description:
        'Idempotent. Stored once valid, and attached as far as possible within `connectTimeout`: the answer tells the state and its reason.',
      tags: TAGS.connections,
      params: connectionPath,
      body: connectionParameters,
      response: responses(
        {
          200: json('The Connection is as declared', connectionView),
          201: json('The Connection was created', connectionView, LOCATION),
        },
        'client-id-in-use',
        'immutable-parameter',
        'changed-meanwhile',
        'not-owner',
        'overloaded',
        'not-available-here',
        ...WITH_BODY,
      ),
    },
    validatorCompiler: byHandler('body'),
    handler: async (request, reply) => {
      const id = decodeId(request.params.id);
      const input = validateConnection(withId(request.body, id));
      const { created, connection } = await bridge.declareConnection(id, input);
      if (created) reply.code(201).header('location', pathOf(connection.id));
      return reply.send(connection);
    },
  });

  inScope(app, (scope) => {
    addJsonParser(scope, MERGE_PATCH);
    scope.route({
      method: 'PATCH',
      url: '/v1/connections/:id',
      schema: {
        operationId: 'patchConnection',
        summary: 'Change members of a Connection',
        tags: TAGS.connections,
        params: connectionPath,
        consumes: [MERGE_PATCH, 'application/json'],
        body: connectionPatch,
        response: responses(
          { 200: json('The Connection as it is now', connectionView) },
          'immutable-parameter',
          'changed-meanwhile',
          'not-available-here',
          ...ON_CONNECTION,
          ...WITH_BODY,
        ),
      },
      validatorCompiler: byHandler('body'),
      handler: (request) => {
        const patch: unknown = request.body;
        if (!isDocument(patch))
          throw invalid([{ pointer: '', detail: 'A merge patch of a Connection is a JSON object.' }]);
        return bridge.patchConnection(decodeId(request.params.id), patch);
      },
    });
  });

  app.route({
    method: 'GET',
    url: '/v1/connections',
    schema: {
      operationId: 'listConnections',
      summary: 'List Connections',
      tags: TAGS.connections,
      querystring: listQuery,
      response: responses({ 200: json('A page of Connections, in the order of their ids', connectionList) }),
    },
    handler: ({ query: { state = null, limit, after = null } }) => bridge.listConnections({ state, limit, after }),
  });

  app.route({
    method: 'GET',
    url: '/v1/connections/:id',
    schema: {
      operationId: 'getConnection',
      summary: 'Read a Connection',
      tags: TAGS.connections,
      params: connectionPath,
      response: responses({ 200: json('The Connection', connectionView) }, ...ON_CONNECTION),
    },
    handler: (request) => bridge.getConnection(decodeId(request.params.id)),
  });

  app.route({
    method: 'DELETE',
    url: '/v1/connections/:id',
    schema: {
      operationId: 'deleteConnection',
      summary: 'Disconnect and forget a Connection',
      tags: TAGS.connections,
      params: connectionPath,
      querystring: deleteQuery,
      response: responses(
        {
          202: empty('Forgotten here; discarding the session is tried again, because the broker could not be reached'),
          204: empty('Gone'),
        },
        ...ON_CONNECTION,
      ),
    },
    handler: async (request, reply) => {
      const { session = 'discard', will = null } = request.query;
      const outcome = await bridge.deleteConnection(decodeId(request.params.id), { session, will });
      return reply.code(outcome === 'pending' ? 202 : 204).send();
    },
  });
};

function pathOf(id: string): string {
  return `/v1/connections/${encodeId(id)}`;
}

/** The path names the Connection; a document may repeat its id, but not contradict it. */
function withId(body: unknown, id: string): unknown {
  if (!isDocument(body)) return body;
  if ('id' in body && body.id !== id) {
    throw invalid([{ pointer: '/id', detail: 'The id of the document is not the id of the path.' }]);
  }
  return { ...body, id };
}

function isDocument(body: unknown): body is Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Array.isArray(body);
}
