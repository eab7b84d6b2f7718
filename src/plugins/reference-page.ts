import scalar from '@scalar/fastify-api-reference';
import type { App } from './app.ts';

const DOCS = '/docs';

/** Serves the page that shows the OpenAPI document; to be installed before the routes. */
export async function installReferencePage(app: App): Promise<void> {
  app.addHook('onRoute', (route) => {
    if (route.url.startsWith(DOCS)) route.config = { ...route.config, produces: null };
  });
  // Everything that the page loads comes from here: it works without a network, and tells nobody.
  await app.register(scalar, {
    routePrefix: DOCS,
    logLevel: 'silent',
    configuration: {
      url: '/openapi.json',
      withDefaultFonts: false,
      telemetry: false,
      showDeveloperTools: 'never',
      agent: { disabled: true },
      mcp: { disabled: true },
    },
  });
}
