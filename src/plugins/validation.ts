import type { FastifyRequest, FastifySchemaCompiler } from 'fastify';
import { z } from 'zod';
import type { Fault, Problem } from '../errors/problem.ts';
import type { Breach } from '../mqtt/strings.ts';
import { invalid, structuralFaults } from '../schemas/faults.ts';
import { ownSentence } from '../schemas/sentences.ts';
import type { App } from './app.ts';

/** The parts of a request in the order in which Fastify validates them, until one is faulty. */
const PARTS = ['params', 'body', 'querystring', 'headers'] as const;
type Part = (typeof PARTS)[number];

const NO_QUERY = z.strictObject({});

/** The faults of one part of a request. */
class PartFaults extends Error {
  override readonly name = 'PartFaults';
  readonly part: Part;
  readonly faults: readonly Fault[];

  constructor(part: Part, faults: readonly Fault[]) {
    super('a part of the request is not valid');
    this.part = part;
    this.faults = faults;
  }
}

type Validator = (data: unknown) => { value: unknown } | { error: PartFaults };

/** Validates with zod, and replaces a part of the request by what its schema makes of it. */
export const zodValidator: FastifySchemaCompiler<unknown> = ({ schema, httpPart, method, url }) => {
  if (!(schema instanceof z.ZodType)) throw new TypeError(`${method} ${url}: the schema of ${httpPart} is not zod's`);
  const part = PARTS.find((known) => known === httpPart) ?? 'body';
  const validate: Validator = (given) => {
    // Fastify hands an absent body over as null.
    const data = part === 'body' ? (given ?? undefined) : given;
    const result = schema.safeParse(data, { error: ownSentence });
    if (result.success) return { value: result.data };
    const faults = structuralFaults(result.error, data);
    return { error: new PartFaults(part, part === 'body' ? faults : faults.map(nameParameter)) };
  };
  return validate;
};

/** A route that names no query parameters has none: what it is sent is a fault, not ignored. */
export function refuseUnknownParameters(app: App): void {
  app.addHook('onRoute', ({ schema, config }) => {
    if (schema !== undefined && !schema.hide && !config?.open) schema.querystring ??= NO_QUERY;
  });
}

/** For parts with rules beyond their schema: the schema documents them, the handler validates them. */
export function byHandler(...parts: Part[]): FastifySchemaCompiler<unknown> {
  return (route) =>
    parts.some((part) => part === route.httpPart) ? (data: unknown) => ({ value: data }) : zodValidator(route);
}

/** All faults of a request of which one part was found faulty, or null when the error is something else. */
export function validationProblem(error: Error, request: FastifyRequest): Problem | null {
  if (!(error instanceof PartFaults)) return null;
  const unseen = PARTS.slice(PARTS.indexOf(error.part) + 1);
  return invalid([...error.faults, ...unseen.flatMap((part) => faultsOf(request, part))]);
}

/** Throws when MQTT forbids what a query parameter says, if anything; `subject` begins the sentence. */
export function refuseBreach(parameter: string, subject: string, breach: Breach | null): void {
  if (breach === null) return;
  throw invalid([{ pointer: `?${parameter}`, detail: `${subject} ${breach.predicate}.`, reference: breach.clause }]);
}

function faultsOf(request: FastifyRequest, part: Part): readonly Fault[] {
  const validate = request.getValidationFunction(part) as Validator | undefined;
  const result = validate?.(part === 'querystring' ? request.query : request[part]);
  return result !== undefined && 'error' in result ? result.error.faults : [];
}

function nameParameter(fault: Fault): Fault {
  return { ...fault, pointer: `?${fault.pointer.slice(1)}` };
}
