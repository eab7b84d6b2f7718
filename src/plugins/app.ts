import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';

/** The Fastify instance as routes and plugins see it. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Adds routes in a scope of their own, whose parsers are not those of the others. */
export function inScope(app: App, add: (scope: App) => void): void {
  app.register(async (scope) => add(scope.withTypeProvider<ZodTypeProvider>()));
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Aborted when the request will be ended from outside soon, whatever it waits for: it answers with what there is. */
    ending: AbortSignal;
  }
  interface FastifyContextConfig {
    /** Answers without credentials, and whatever Host and Origin say. */
    open?: boolean;
    /** Needs no bridge to answer. */
    alone?: boolean;
    /** Media types that the route answers with besides problems; absent: `application/json`. Null: anything. */
    produces?: readonly string[] | null;
  }
}
