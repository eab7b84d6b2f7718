import { compileFilter } from '../mqtt/topics.ts';
import { fromCursor, toCursor } from './cursors.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { ReadMessage, ReadPage, ReadRequest } from './facade.ts';
import { isFunction } from './fleet/node-ids.ts';
import { problemOf } from './link/link-problems.ts';
import type { ConnectionRecord, Key, Position, QueuedMessage } from './ports.ts';
import type { Views } from './views.ts';

/** Entries that a read or a delete with a topic filter looks at before it answers. */
const MAX_SCAN = 10_000;
const SCAN_PAGE = 500;
/** Positions removed in one call of the store. */
const REMOVE_CHUNK = 1_000;

interface Scan {
  messages: QueuedMessage[];
  /** The last entry looked at; null when there was none. */
  last: Position | null;
  remaining: number;
}

/** The queue as a caller reads it: nothing is removed before it is acknowledged. */
export class Messages {
  readonly #store: BridgeDependencies['store'];
  readonly #views: Views;
  readonly #mode: BridgeDependencies['mode'];

  constructor({ store, mode }: Pick<BridgeDependencies, 'store' | 'mode'>, views: Views) {
    this.#store = store;
    this.#mode = mode;
    this.#views = views;
  }

  /** `drain` takes in what the broker keeps for a Connection, unless it was drained more often by then; null when nothing is kept. */
  async read(
    record: ConnectionRecord,
    request: ReadRequest,
    drain: (drains: number) => Promise<boolean | null>,
  ): Promise<ReadPage> {
    const { key } = record;
    const after = request.after === null ? null : fromCursor(request.after, key, this.#store.queues);
    const complete = request.drain ? await this.#drainFor(record, after, request, drain) : null;
    const scan = await this.#scanOrWait(key, after, request);
    const [stats, liveness] = await Promise.all([this.#store.queues.stats(key), this.#views.liveness(record)]);
    const { state, since, reason } = liveness;
    return {
      messages: scan.messages.map((entry) => toReadMessage(key, entry)),
      next: scan.last === null ? request.after : toCursor(key, scan.last),
      remaining: scan.remaining,
      dropped: stats.dropped,
      ...(complete === null ? {} : { complete }),
      connection: { state, since, reason },
    };
  }

  /** Removes all up to a cursor, or of those the ones that match. Answers how many there were. */
  async acknowledge(record: ConnectionRecord, request: { through: string; filter: string | null }): Promise<number> {
    const { queues } = this.#store;
    const through = fromCursor(request.through, record.key, queues);
    if (request.filter === null) return queues.removeThrough(record.key, through);
    return this.#removeMatching(record.key, through, request.filter);
  }

  /** Not where the page is full without it. What the broker keeps it from is told by the Connection's state. */
  async #drainFor(
    record: ConnectionRecord,
    after: Position | null,
    { limit }: ReadRequest,
    drain: (drains: number) => Promise<boolean | null>,
  ): Promise<boolean | null> {
    const { state, owner, drains } = await this.#views.liveness(record);
    // A function has it attached for its own request only, and one that died there left it like that.
    const isLeft = owner === null ? this.#mode === 'function' : isFunction(owner);
    if (state !== 'parked' && !isLeft) return null;
    const { messages, remaining } = await this.#store.queues.read(record.key, after, 1);
    if (messages.length + remaining >= limit) return null;
    return drain(drains).catch((error) => {
      if (problemOf(error).type === 'internal') throw error;
      return false;
    });
  }

  async #removeMatching(key: Key, through: Position, filter: string): Promise<number> {
    const { queues } = this.#store;
    const matches = compileFilter(filter);
    let removed = 0;
    let after: Position | null = null;
    for (;;) {
      const { messages, remaining } = await queues.read(key, after, REMOVE_CHUNK);
      const end = messages.findIndex(({ position }) => queues.compare(position, through) > 0);
      const within = end === -1 ? messages : messages.slice(0, end);
      const positions = within.filter(({ message }) => matches(message.topic)).map(({ position }) => position);
      if (positions.length > 0) removed += await queues.removeEach(key, positions);
      const last = messages.at(-1);
      if (end !== -1 || last === undefined || remaining === 0) return removed;
      after = last.position;
    }
  }

  /** Long poll: a wake-up that comes between reading and waiting must not be missed, so waiting begins first. */
  async #scanOrWait(key: Key, after: Position | null, request: ReadRequest): Promise<Scan> {
    if (request.waitMs === 0) return this.#scan(key, after, request);
    const deadline = AbortSignal.any([request.signal, AbortSignal.timeout(request.waitMs)]);
    let wake = () => {};
    let woken = false;
    const stop = this.#store.queues.watch(key, () => {
      woken = true;
      wake();
    });
    const onAbort = () => wake();
    deadline.addEventListener('abort', onAbort);
    try {
      let from = after;
      for (;;) {
        woken = false;
        const scan = await this.#scan(key, from, request);
        if (scan.messages.length > 0 || deadline.aborted) return { ...scan, last: scan.last ?? from };
        from = scan.last ?? from;
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (woken || deadline.aborted) resolve();
        });
      }
    } finally {
      deadline.removeEventListener('abort', onAbort);
      stop();
    }
  }

  async #scan(key: Key, after: Position | null, { limit, filter }: ReadRequest): Promise<Scan> {
    if (filter === null) {
      const { messages, remaining } = await this.#store.queues.read(key, after, limit);
      return { messages: [...messages], last: messages.at(-1)?.position ?? null, remaining };
    }
    const matches = compileFilter(filter);
    const found: QueuedMessage[] = [];
    let last: Position | null = null;
    let scanned = 0;
    let page = await this.#store.queues.read(key, after, SCAN_PAGE);
    for (;;) {
      for (const [index, entry] of page.messages.entries()) {
        last = entry.position;
        if (matches(entry.message.topic)) found.push(entry);
        if (found.length === limit) {
          return { messages: found, last, remaining: page.remaining + page.messages.length - index - 1 };
        }
      }
      scanned += page.messages.length;
      if (page.remaining === 0 || page.messages.length === 0 || scanned >= MAX_SCAN) {
        return { messages: found, last, remaining: page.remaining };
      }
      page = await this.#store.queues.read(key, last, SCAN_PAGE);
    }
  }
}

function toReadMessage(key: Key, { position, message, deliveryCount }: QueuedMessage): ReadMessage {
  return { id: toCursor(key, position), message, deliveryCount };
}
