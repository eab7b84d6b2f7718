/**
 * What Google Cloud runs, by the names that a deployment gives as the entry point: `bridge` for requests, `keeper` for
 * Cloud Scheduler. The functions framework finds them among the exports.
 */
import type { HttpFunction } from '@google-cloud/functions-framework';
import { httpFunction } from './google-cloud/http.ts';
import { runKeeper } from './keeping.ts';
import { createService } from './service.ts';

/** Seconds until a request is ended where the platform does not say: its own default. */
const DEFAULT_TIMEOUT = 60;

const service = createService(process.env);
const timeoutMs = (Number(process.env.CLOUD_RUN_TIMEOUT_SECONDS) || DEFAULT_TIMEOUT) * 1000;

export const bridge: HttpFunction = httpFunction(service, timeoutMs);

/** Whoever may invoke this function is for the platform to decide: deploy it without unauthenticated access. */
export const keeper: HttpFunction = async (_request, response) => {
  response.json(await runKeeper(await service.instance(), timeoutMs));
};
