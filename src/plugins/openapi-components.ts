import type { jsonSchemaTransformObject } from 'fastify-type-provider-zod';

type Document = ReturnType<typeof jsonSchemaTransformObject>;

/**
 * Tidies what the type provider makes of registered schemas: each one for input (`…Input`) and for output. Drops those
 * that nothing refers to, and the examples in output that were written for input, where defaults may be absent.
 */
export function tidyComponents(document: Document): Document {
  if (!('components' in document) || document.components === undefined) return document;
  const { schemas = {}, ...others } = document.components;
  const used = referenced(document.paths ?? {}, schemas);
  const kept = Object.entries(schemas)
    .filter(([name]) => used.has(name))
    .map(([name, schema]) => {
      if (name.endsWith('Input')) return [name, schema];
      const { examples, ...rest } = withoutExamples(schema, true) as { examples?: unknown };
      return [name, used.has(`${name}Input`) || examples === undefined ? rest : { ...rest, examples }];
    });
  return { ...document, components: { ...others, schemas: Object.fromEntries(kept) } } as Document;
}

function referenced(paths: object, schemas: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const used = new Set<string>();
  const visit = (value: unknown) => {
    for (const [, name = ''] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(schemas[name] ?? null);
    }
  };
  visit(paths);
  return used;
}

/** A copy without the `examples` of its parts; its own stay when asked. */
function withoutExamples(value: unknown, keepOwn = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutExamples(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => {
      if (name !== 'examples') return [[name, withoutExamples(member)]];
      return keepOwn ? [[name, member]] : [];
    }),
  );
}
