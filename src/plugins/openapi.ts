import swagger, { type SwaggerTransform } from '@fastify/swagger';
import type { FastifySchema } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { makeAll } from '../schemas/lazily.ts';
import type { App } from './app.ts';
import type { DeclaredResponse } from './declared-response.ts';
import { tidyComponents } from './openapi-components.ts';

const DESCRIPTION = `Be an MQTT client over plain HTTP. A *Connection* is an MQTT client that the bridge holds for you: describe it once,
then publish, read what arrived, and read retained messages with requests that any instance can answer.

Errors are \`application/problem+json\` (RFC 9457); \`type\` names the problem, \`errors\` lists every fault of a request.`;

/** Gathers the OpenAPI document from the routes; to be installed before them. */
export async function installOpenapi(app: App): Promise<void> {
  makeAll();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'MQTT HTTP Bridge',
        version: '1',
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'This bridge' }],
      tags: [
        { name: 'connections', description: 'MQTT clients that the bridge holds' },
        { name: 'messages', description: 'Publishing, and reading what arrived' },
        { name: 'topics', description: 'A topic as a web resource' },
        { name: 'service', description: 'About the bridge itself' },
      ],
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'The key that the operator configured.' },
        },
      },
      security: [{ apiKey: [] }, {}],
    },
    transform,
    transformObject: (document) => tidyComponents(jsonSchemaTransformObject(document)),
  });
}

/** The type provider's transform knows schemas only; what else a response declares is added to what it makes. */
const transform: SwaggerTransform = (route) => {
  const declared = (route.schema.response ?? {}) as Record<string, DeclaredResponse>;
  const response = Object.fromEntries(
    Object.entries(declared).map(([status, { content }]) => [
      status,
      content === undefined ? z.undefined() : { content },
    ]),
  );
  const { schema, url } = jsonSchemaTransform({ ...route, schema: { ...route.schema, response } });
  const made = schema.response as Record<string, { content?: Record<string, object> }> | undefined;
  for (const [status, { description, content = {}, headers }] of Object.entries(declared)) {
    const target = made?.[status];
    if (target === undefined) continue;
    Object.assign(target, { description }, headers === undefined ? {} : { headers });
    for (const [type, { examples }] of Object.entries(content)) {
      if (examples !== undefined) Object.assign(target.content?.[type] ?? {}, { examples });
    }
  }
  return url.endsWith('/*') && schema.params !== undefined
    ? { schema: renameWildcard(schema), url: url.replace('*', ':topic') }
    : { schema, url };
};

/** OpenAPI has no wildcards: the rest of a path is a parameter like any other, and gets a name. */
function renameWildcard(schema: FastifySchema): FastifySchema {
  const { properties } = schema.params as { properties: Record<string, unknown> };
  return { ...schema, params: { type: 'object', properties: { topic: properties['*'] }, required: ['topic'] } };
}
