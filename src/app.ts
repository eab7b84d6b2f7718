import type { ServerOptions } from 'node:https';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyHttpOptions,
  LogController,
  type RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Bridge, ValidatedConnection } from './bridge/facade.ts';
import type { App } from './plugins/app.ts';

import { installAuth } from './plugins/auth.ts';
import { answerClientError, answerError, installErrors } from './plugins/errors.ts';
import { installJsonBodies } from './plugins/json-bodies.ts';
import { bodyLimits, SERVER_LIMITS } from './plugins/limits.ts';
import { withMethodNotAllowed } from './plugins/method-not-allowed.ts';
import { installNegotiation } from './plugins/negotiation.ts';
import { installOpenapi } from './plugins/openapi.ts';
import { parseQuery } from './plugins/query.ts';
import { installResponseCheck, plainSerializer } from './plugins/serialization.ts';
import { refuseUnknownParameters, zodValidator } from './plugins/validation.ts';
import { ROUTES } from './routes/index.ts';

export type { App } from './plugins/app.ts';

export interface AppDependencies {
  readonly bridge: Bridge;
  /** Validates a whole Connection document; throws a `Problem` that names every fault. */
  readonly validateConnection: (document: unknown) => ValidatedConnection;
  /** Bytes. */
  readonly maxPayload: number;
  readonly apiKey: string | null;
  readonly listen: { readonly host: string; readonly port: number };
  readonly log: FastifyBaseLogger;
  /** Certificate and key; null: plain HTTP. */
  readonly tls?: Pick<ServerOptions, 'cert' | 'key'> | null;
  /** In tests: a response that its schema does not allow is a 500. */
  readonly validateResponses?: boolean;
}

/** Builds the HTTP API over a bridge. Pure: it does not listen, and reads nothing but its dependencies. */
export async function buildApp(dependencies: AppDependencies): Promise<App> {
  const { bridge, validateConnection, maxPayload, apiKey, listen, log, tls = null } = dependencies;
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
  await installOpenapi(app);
  await withMethodNotAllowed(app, () => {
    for (const addRoutes of ROUTES) addRoutes(app, { bridge, validateConnection, limits, maxPayload });
  });
  await app.ready();
  return app;
}
