/** JSON merge patch of a Connection's document. [RFC 7396] */
import { z } from 'zod';
import { connectionParameters } from './connection.ts';
import { lazily } from './lazily.ts';

/**
 * The body of a PATCH: any part of the document, where null removes a member. Only its shape as an object is checked
 * here, because what counts is the patched document: apply `mergePatch`, then `validateConnection`.
 */
export const connectionPatch = lazily(() =>
  patchOf(connectionParameters.unwrap())
    .describe('JSON merge patch of the document (RFC 7396): null removes a member; secrets that are not sent are kept.')
    .meta({ id: 'ConnectionPatch', examples: [{ keepAlive: 30, will: null }] }),
);

/** The target with a merge patch applied; neither argument is changed. [RFC 7396 §2] */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [member, value] of Object.entries(patch)) {
    if (value === null) merged.delete(member);
    else merged.set(member, mergePatch(merged.get(member), value));
  }
  return Object.fromEntries(merged);
}

/** An object's schema with every member optional and nullable, at every depth, and no defaults. */
function patchOf(schema: z.ZodObject): z.ZodObject {
  const members = Object.entries(schema.shape).map(([name, member]) => {
    const { inner, description } = unwrap(member as z.ZodType);
    const patch = (inner instanceof z.ZodObject ? patchOf(inner) : inner).nullable().optional();
    return [name, description === undefined ? patch : patch.describe(description)];
  });
  return z.strictObject(Object.fromEntries(members));
}

/** A member's schema without what makes it optional, and its outermost description. */
function unwrap(schema: z.ZodType): { inner: z.ZodType; description: string | undefined } {
  const { description } = schema;
  if (
    schema instanceof z.ZodLazy ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodExactOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    const within = unwrap(schema.unwrap() as z.ZodType);
    return { inner: within.inner, description: description ?? within.description };
  }
  return { inner: schema, description };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
