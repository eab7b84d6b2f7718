import Fastify from 'fastify';
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { publishMessage } from '../../src/schemas/message.ts';

export type Message = z.output<typeof publishMessage>;

/**
 * The least that can answer a publish: Fastify, and the bridge's own zod schema for the body. What `publish` resolves
 * with is the answer. Listens on `PORT` of 127.0.0.1.
 */
export async function servePublish(publish: (message: Message) => Promise<object>): Promise<void> {
  const app = Fastify().withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.post('/publish', { schema: { body: publishMessage } }, (request) => publish(request.body));
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
}
