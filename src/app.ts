import type { ServerOptions } from 'node:https';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyHttpOptions,
  LogController,
  type RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Bridge, ValidatedConnection } from './bridge/facade.ts';
import { once } from './once.ts';
import type { App } from './plugins/app.ts';

import { installAuth } from './plugins/auth.ts';
import { installEnding } from './plugins/ending.ts';
import { answerClientError, answerError, installErrors } from './plugins/errors.ts';
import { installJsonBodies } from './plugins/json-bodies.ts';
import { installLeaving } from './plugins/leaving.ts';
import { bodyLimits, MAX_WAIT, type Mode, SERVER_LIMITS } from './plugins/limits.ts';
import { withMethodNotAllowed } from './plugins/method-not-allowed.ts';
import { installNegotiation } from './plugins/negotiation.ts';
import { parseQuery } from './plugins/query.ts';
import { installReadiness } from './plugins/readiness.ts';
import { installResponseCheck, plainSerializer } from './plugins/serialization.ts';
import { refuseUnknownParameters, zodValidator } from './plugins/validation.ts';
import { ROUTES } from './routes/index.ts';
import type { RouteDependencies } from './routes/route.ts';

export type { App } from './plugins/app.ts';

/**
 * What of the API's own description is loaded at once: the document and the page that shows it, or the document alone.
 * `onDemand`: neither; the document is made when somebody asks for it, and there is no page.
 */
export type Reference = 'page' | 'document' | 'onDemand';

export interface AppDependencies {
  readonly bridge: Bridge;
  /** Validates a whole Connection document; throws a `Problem` that names every fault. */
  readonly validateConnection: (document: unknown) => ValidatedConnection;
  /** Bytes. */
  readonly maxPayload: number;
  readonly apiKey: string | null;
  readonly listen: { readonly host: string; readonly port: number };
  readonly log: FastifyBaseLogger;
  /** `gateway` when not said. */
  readonly mode?: Mode;
  /** `page` when not said. */
  readonly reference?: Reference;
  /** What ends the request that is just beginning, where something outside does; it is answered before. */
  readonly ending?: () => AbortSignal | null;
  /** Awaited by each request that needs the bridge, where the bridge starts while requests come in already. */
  readonly ready?: () => Promise<void>;
  /** Whether the process is about to stop: then it is not ready, and keeps no connection open. */
  readonly isLeaving?: () => boolean;
  /** Certificate and key; null: plain HTTP. */
  readonly tls?: Pick<ServerOptions, 'cert' | 'key'> | null;
  /** In tests: a response that its schema does not allow is a 500. */
  readonly validateResponses?: boolean;
}

/** Builds the HTTP API over a bridge. Pure: it does not listen, and reads nothing but its dependencies. */
export async function buildApp(dependencies: AppDependencies): Promise<App> {
  const { bridge, validateConnection, maxPayload, apiKey, listen, log, tls = null, mode = 'gateway' } = dependencies;
  const limits = bodyLimits(maxPayload);
  const options = {
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.document,
    requestTimeout: SERVER_LIMITS.requestTimeout,
    keepAliveTimeout: SERVER_LIMITS.keepAliveTimeout,
    routerOptions: { maxParamLength: SERVER_LIMITS.maxParamLength, querystringParser: parseQuery },
    frameworkErrors: answerError,
    clientErrorHandler: answerClientError,
    return503OnClosing: false,
  } satisfies FastifyHttpOptions<RawServerDefault>;
  // Fastify's types tell HTTP and HTTPS apart by the instance; nothing here depends on which it is.
  const app: App = Fastify(
    tls === null ? options : Object.assign(options, { https: tls }),
  ).withTypeProvider<ZodTypeProvider>();

  app.setValidatorCompiler(zodValidator);
  app.setSerializerCompiler(plainSerializer);
  refuseUnknownParameters(app);
  if (dependencies.validateResponses) installResponseCheck(app);
  installErrors(app);
  installAuth(app, { apiKey, listen });
  installNegotiation(app);
  installJsonBodies(app);
  installEnding(app, dependencies.ending);
  if (dependencies.ready !== undefined) installReadiness(app, dependencies.ready);
  const { isLeaving = () => false } = dependencies;
  installLeaving(app, isLeaving);
  const contract = await installReference(app, dependencies);
  const routes = { bridge, validateConnection, limits, maxPayload, maxWait: MAX_WAIT[mode], contract, isLeaving };
  await withMethodNotAllowed(app, () => {
    for (const addRoutes of ROUTES) addRoutes(app, routes);
  });
  await app.ready();
  return app;
}

/** Answers how to get the OpenAPI document. What makes it takes long to load, and is not loaded where nobody asks. */
async function installReference(app: App, dependencies: AppDependencies): Promise<RouteDependencies['contract']> {
  const { reference = 'page' } = dependencies;
  if (reference === 'onDemand') return once(() => describe(dependencies));
  const { installOpenapi } = await import('./plugins/openapi.ts');
  await installOpenapi(app);
  if (reference === 'page') {
    const { installReferencePage } = await import('./plugins/reference-page.ts');
    installReferencePage(app);
  }
  return () => app.swagger();
}

/** The document is gathered while routes are added: one for routes that are there already takes a second app. */
async function describe(dependencies: AppDependencies): Promise<object> {
  const app = await buildApp({ ...dependencies, reference: 'document' });
  const document = app.swagger();
  await app.close();
  return document;
}
