import { z } from 'zod';

/** What is still to be made. */
const makers = new Set<() => unknown>();

/**
 * A schema that is made when something is first validated or described with it, and then kept. A process that has just
 * started is asked for something that needs few of all schemas, and making them takes longer than loading their code.
 * Members of a union are given unwrapped: what makes the OpenAPI document takes a lazy one there for an empty one.
 */
export function lazily<Schema extends z.ZodType>(make: () => Schema): z.ZodLazy<Schema> {
  let made: Schema | undefined;
  const getter = () => {
    made ??= make();
    makers.delete(getter);
    return made;
  };
  makers.add(getter);
  return z.lazy(getter);
}

/** Makes every schema that is not made yet: whoever describes them together must know their ids before. */
export function makeAll(): void {
  for (const make of makers) make();
}
