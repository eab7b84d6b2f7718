import Fastify, { type FastifyInstance, type RouteHandlerMethod } from 'fastify';
import { once } from '../once.ts';
import type { App } from './app.ts';

const DOCS = '/docs';
/** Of the connection to the caller. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding'];

/** Serves the page that shows the OpenAPI document. It is larger than all the rest, and loaded when somebody asks for it. */
export function installReferencePage(app: App): void {
  const page = once(makePage);
  const handler: RouteHandlerMethod = async ({ url }, reply) => {
    const { statusCode, headers, rawPayload } = await (await page()).inject({ url });
    if (statusCode === 404) return reply.callNotFound();
    for (const name of HOP_BY_HOP) delete headers[name];
    return reply
      .code(statusCode)
      .headers(headers)
      .send(rawPayload.length === 0 ? undefined : rawPayload);
  };
  for (const url of [DOCS, `${DOCS}/*`]) {
    app.route({ method: 'GET', url, schema: { hide: true }, config: { produces: null }, handler });
  }
}

async function makePage(): Promise<FastifyInstance> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const app = Fastify();
  // Everything that the page loads comes from here: it works without a network, and tells nobody.
  await app.register(scalar, {
    routePrefix: DOCS,
    configuration: {
      url: '/openapi.json',
      withDefaultFonts: false,
      telemetry: false,
      showDeveloperTools: 'never',
      agent: { disabled: true },
      mcp: { disabled: true },
    },
  });
  return app;
}
