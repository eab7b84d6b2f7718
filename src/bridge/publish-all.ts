import type { Connection } from './connection/connection.ts';
import type { PublishRequest, PublishResult } from './facade.ts';
import { problemOf } from './link/link-problems.ts';

/** Publishes in order; what became of each is in the results, in the same order. */
export function publishAll(
  connection: Pick<Connection, 'publish'>,
  requests: readonly PublishRequest[],
): Promise<PublishResult[]> {
  return Promise.all(requests.map(({ message, timeoutMs }) => connection.publish(message, timeoutMs).catch(problemOf)));
}
