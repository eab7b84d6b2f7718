/** Anything that must be stopped again. */
export interface Stoppable {
  stop(): Promise<unknown>;
}

/** Hands a resource over to be stopped; answers the same. */
export type Own = <Resource extends Stoppable>(resource: Resource) => Resource;

/** Runs `work`, and stops what it has handed to `own`, the last first, however the work ends. */
export async function withResources<Result>(work: (own: Own) => Promise<Result>): Promise<Result> {
  const owned: Stoppable[] = [];
  try {
    return await work((resource) => {
      owned.push(resource);
      return resource;
    });
  } finally {
    for (const resource of owned.reverse()) await resource.stop();
  }
}
