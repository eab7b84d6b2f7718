import type { Bridge, ValidatedConnection } from '../bridge/facade.ts';
import type { App } from '../plugins/app.ts';
import type { BodyLimits } from '../plugins/limits.ts';

export interface RouteDependencies {
  readonly bridge: Bridge;
  readonly validateConnection: (document: unknown) => ValidatedConnection;
  readonly limits: BodyLimits;
  /** Bytes. */
  readonly maxPayload: number;
  /** Seconds that a long poll waits at most. */
  readonly maxWait: number;
  /** Whether the process is about to stop. */
  readonly isLeaving: () => boolean;
  /** The OpenAPI document. */
  readonly contract: () => object | Promise<object>;
}

/** Adds the routes of one resource. */
export type AddRoutes = (app: App, dependencies: RouteDependencies) => void;

export const TAGS = {
  connections: ['connections'],
  messages: ['messages'],
  topics: ['topics'],
  service: ['service'],
} as const;
