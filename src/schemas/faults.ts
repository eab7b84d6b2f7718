/** From what zod says about a document to faults that a caller can read, and to the parts that are sound. */
import type { z } from 'zod';
import { type Fault, Problem } from '../errors/problem.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** A document whose faulty members are missing, and whose faulty array elements are undefined. */
export type Sound<T> = T extends readonly (infer Element)[]
  ? (Sound<Element> | undefined)[]
  : T extends object
    ? { [Member in keyof T]?: Sound<T[Member]> | undefined }
    : T;

/** One fault for each issue, by JSON pointer. A clause in brackets at the end of a sentence becomes `reference`. */
export function structuralFaults(error: z.ZodError, document: unknown): Fault[] {
  return error.issues.flatMap((issue) => faultsOf(issue, document));
}

/** The document without what zod found faulty in it; undefined when that is all of it. The document is left alone. */
export function soundParts<T>(error: z.ZodError, document: T): Sound<T> | undefined {
  const paths = error.issues.flatMap(pathsOf);
  if (paths.some((path) => path.length === 0)) return undefined;
  const sound: unknown = structuredClone(document);
  for (const path of paths) removeAt(sound, path);
  return sound as Sound<T>;
}

/** A path as a JSON pointer. [RFC 6901] */
export function pointerTo(...path: PropertyKey[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function faultsOf(issue: Issue, document: unknown): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: pointerTo(...issue.path, key),
      detail: `There is no member "${key}" here.`,
    }));
  }
  const pointer = pointerTo(...issue.path);
  const name = String(issue.path.at(-1));
  if (issue.path.length > 0 && valueAt(document, issue.path) === undefined) {
    return [{ pointer, detail: `\`${name}\` is missing.`, ...reference(issue.message) }];
  }
  return [{ pointer, detail: `${withoutClause(issue.message)}.`, ...reference(issue.message) }];
}

const CLAUSE = / \[([^\]]+)\]$/;

function reference(sentence: string): { reference?: string } {
  const clause = CLAUSE.exec(sentence)?.[1];
  return clause === undefined ? {} : { reference: clause };
}

function withoutClause(sentence: string): string {
  return sentence.replace(CLAUSE, '');
}

function pathsOf(issue: Issue): Path[] {
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
}

function valueAt(document: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (isContainer(value) ? value[step] : undefined), document);
}

function removeAt(document: unknown, path: Path): void {
  const parent = valueAt(document, path.slice(0, -1));
  const last = path.at(-1);
  if (!isContainer(parent) || last === undefined) return;
  // An element keeps its place, so that the pointers of those after it stay true.
  if (Array.isArray(parent)) parent[Number(last)] = undefined;
  else delete parent[last];
}

function isContainer(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null;
}

/** A problem that lists the faults. */
export function invalid(errors: Fault[]): Problem {
  const [first] = errors;
  const detail = errors.length > 1 ? `There are ${errors.length} faults; the first: ${first?.detail}` : first?.detail;
  return new Problem('invalid-request', { ...(detail === undefined ? {} : { detail }), errors });
}
