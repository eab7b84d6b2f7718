import type { z } from 'zod';

export interface ResponseMedia {
  schema: z.ZodType;
  examples?: Record<string, { value: unknown }>;
}

export interface ResponseHeader {
  type: 'string';
  description: string;
}

/** A response as Fastify and the OpenAPI document see it. */
export interface DeclaredResponse {
  description: string;
  content?: Record<string, ResponseMedia>;
  headers?: Record<string, ResponseHeader>;
}
