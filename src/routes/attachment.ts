import { z } from 'zod';
import { connectionPath, decodeId } from '../schemas/common.ts';
import { sessionExpiryInterval } from '../schemas/connection.ts';
import { connectionView } from '../schemas/connection-view.ts';
import { AT_BROKER, json, ON_CONNECTION, responses, WITH_BODY } from './responses.ts';
import { type AddRoutes, TAGS } from './route.ts';

const nothing = z.strictObject({}, { error: 'The body is absent, or an empty object' }).optional();

const detachment = z
  .strictObject({
    sessionExpiryInterval: sessionExpiryInterval
      .optional()
      .describe('MQTT 5.0: how long the session is kept from now on. [MQTT 5.0 §3.14.2.2.2]'),
    will: z.literal('send', { error: '`will` is "send"' }).optional().describe('Let the broker publish the Will.'),
  })
  .optional()
  .describe('How to detach; absent: normally, and the session keeps its expiry.')
  .meta({ examples: [{ sessionExpiryInterval: 3600 }] });

export const addAttachmentRoutes: AddRoutes = (app, { bridge }) => {
  app.route({
    method: 'POST',
    url: '/v1/connections/:id/attach',
    schema: {
      operationId: 'attachConnection',
      summary: 'Open the network connection now',
      description: 'Whatever `hold` says; also retries a `refused` or `takenOver` Connection.',
      tags: TAGS.connections,
      params: connectionPath,
      body: nothing,
      response: responses(
        { 200: json('The Connection is online', connectionView) },
        'connection-not-usable',
        ...ON_CONNECTION,
        ...WITH_BODY,
        ...AT_BROKER,
      ),
    },
    handler: (request) => bridge.attachConnection(decodeId(request.params.id)),
  });

  app.route({
    method: 'POST',
    url: '/v1/connections/:id/detach',
    schema: {
      operationId: 'detachConnection',
      summary: 'Close the network connection now',
      tags: TAGS.connections,
      params: connectionPath,
      body: detachment,
      response: responses(
        { 200: json('The Connection is detached', connectionView) },
        'not-attached',
        'session-expiry-not-allowed',
        'connection-not-usable',
        ...ON_CONNECTION,
        ...WITH_BODY,
      ),
    },
    handler: (request) => {
      const { sessionExpiryInterval: expiry = null, will = null } = request.body ?? {};
      return bridge.detachConnection(decodeId(request.params.id), { sessionExpiryInterval: expiry, will });
    },
  });
};
