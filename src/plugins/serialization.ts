import type { FastifySerializerCompiler } from 'fastify';
import { z } from 'zod';
import type { App } from './app.ts';

/** The bridge builds what it answers from its own types: looking at each answer again would only cost time. */
export const plainSerializer: FastifySerializerCompiler<unknown> = () => (data) => JSON.stringify(data);

/** For tests: an answer that the contract does not declare, by status or by schema, is an error. */
export function installResponseCheck(app: App): void {
  app.setSerializerCompiler<unknown>(({ schema, method, url, httpStatus }) => (data) => {
    if (schema instanceof z.ZodType) {
      const { error } = schema.safeParse(data);
      if (error) throw new Error(`${method} ${url} ${httpStatus}: not as declared: ${z.prettifyError(error)}`);
    }
    return JSON.stringify(data);
  });
  app.addHook('onSend', async (request, reply, payload) => {
    const declared = request.routeOptions.schema?.response;
    const status = reply.statusCode;
    if (declared !== undefined && typeof declared === 'object' && declared !== null && !(status in declared)) {
      throw new Error(`${request.method} ${request.url}: status ${status} is not declared`);
    }
    return payload;
  });
}
