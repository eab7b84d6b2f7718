import { setTimeout as pause } from 'node:timers/promises';
import type { Requester } from './balancer.ts';

/** Milliseconds after a request that failed. */
const AGAIN = 50;
/** Messages read at once, so that there are many reads and many removals. */
const PAGE = 100;

export interface QueuedMessage {
  readonly id: string;
  readonly topic: string;
  readonly payload: string;
}

export interface Page {
  readonly messages: readonly QueuedMessage[];
  readonly next: string | null;
}

/** A caller that reads a queue to its end, again and again, and removes what it has read. */
export interface Consumer {
  /** Payloads, in the order of the queue. */
  readonly received: readonly string[];
  stop(): Promise<void>;
}

/** It waits for messages with long polls, of `wait` seconds. Whatever fails is asked again. */
export function startConsumer(requester: Requester, path: string, wait = 1): Consumer {
  const received: string[] = [];
  let stopped = false;
  let after = '';
  let removed = '';

  const read = async () => {
    const page = await readPage(requester, path, { after, limit: PAGE, wait });
    if (page === null) return false;
    received.push(...page.messages.map(({ payload }) => payload));
    after = page.next ?? after;
    return true;
  };
  const remove = async () => {
    if (removed === after) return true;
    const through = after;
    const { status } = await requester.request('DELETE', `${path}/messages?through=${encodeURIComponent(through)}`);
    if (status === 200) removed = through;
    return status === 200;
  };
  const run = async () => {
    while (!stopped) {
      const goesOn = await Promise.resolve(read())
        .then((wasRead) => wasRead && remove())
        .catch(() => false);
      if (!goesOn) await pause(AGAIN);
    }
  };
  const ended = run();
  return {
    received,
    stop() {
      stopped = true;
      return ended;
    },
  };
}

/** Null when it could not be read. */
export async function readPage(
  requester: Requester,
  path: string,
  { after, limit, wait = 0 }: { after: string; limit: number; wait?: number },
): Promise<Page | null> {
  const query = new URLSearchParams({ limit: String(limit), wait: String(wait) });
  if (after !== '') query.set('after', after);
  const page = await requester.request<Page>('GET', `${path}/messages?${query}`);
  return page.status === 200 ? page.json : null;
}

/** All that is in the queue after a cursor, and the cursor behind it. */
export async function readToTheEnd(
  requester: Requester,
  path: string,
  from = '',
): Promise<{ messages: QueuedMessage[]; after: string }> {
  const messages: QueuedMessage[] = [];
  for (let after = from; ; ) {
    const page = await readPage(requester, path, { after, limit: 1_000 });
    if (page === null || page.messages.length === 0) return { messages, after };
    messages.push(...page.messages);
    after = page.next ?? after;
  }
}
