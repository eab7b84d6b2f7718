import { Problem } from '../../errors/problem.ts';
import type { Connection } from '../connection/connection.ts';
import { encodeOutcome, isFinal, outcomeOf } from '../delivery/outcomes.ts';
import { outcomeUnknown } from '../delivery/publish-answers.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import type { KeptAnswer, KeptRequest, PublicationView, PublishResult } from '../facade.ts';
import { problemOf } from '../link/link-problems.ts';
import { mayHaveCommitted, type Publication } from '../ports.ts';
import { PENDING_MS, PUBLICATION_LIMITS, RETENTION_MS } from './limits.ts';
import { fromPublishId, newPublicationId, toPublishId } from './publish-ids.ts';

/** How long after its time an item without an outcome is given up: the owner has recorded one until then, if it can. */
const GRACE_MS = 60_000;

/**
 * Publishes whose outcome is kept: with an Idempotency-Key, or queued. Which of them run is known here alone, because
 * only the owner runs them: one that is recorded, has no outcome, no exchange and does not run, was left by a process
 * that is gone, and is published again.
 */
export class KeptPublishes {
  readonly #deps: Pick<BridgeDependencies, 'store' | 'log'>;
  /** Fingerprints by key and idempotency key. */
  readonly #running = new Map<string, string>();

  constructor(dependencies: Pick<BridgeDependencies, 'store' | 'log'>) {
    this.#deps = dependencies;
  }

  async publish(connection: Connection, request: KeptRequest): Promise<KeptAnswer> {
    const hadLease = connection.lease !== null;
    await connection.own();
    try {
      return await this.#alone(connection, request);
    } finally {
      // Also attaches what a queued message waits for.
      if (!hadLease) connection.settle().catch(() => undefined);
    }
  }

  /** The outcome of a queued publish; `publish-not-found` when there is none, or none any more. */
  async find(publishId: string): Promise<PublicationView> {
    const named = fromPublishId(publishId);
    const found = named && (await this.#deps.store.publications.find(named.key, { id: named.publication }));
    if (!found?.queued) throw new Problem('publish-not-found');
    const isOverdue = Date.now() > found.acceptedAt + PENDING_MS + GRACE_MS;
    const results = found.items.map((item) => {
      const outcome = outcomeOf(item);
      return outcome === null && isOverdue ? outcomeUnknown('No outcome was recorded within 24 hours') : outcome;
    });
    return { publishId, acceptedAt: found.acceptedAt, batch: found.batch, results };
  }

  /** Runs one request with an idempotency key at a time. */
  async #alone(connection: Connection, request: KeptRequest): Promise<KeptAnswer> {
    const { idempotencyKey, fingerprint } = request;
    if (idempotencyKey === null) return this.#begin(connection, request);
    const name = `${connection.key} ${idempotencyKey}`;
    const running = this.#running.get(name);
    if (running !== undefined) throw running === fingerprint ? stillRunning() : usedOtherwise();
    this.#running.set(name, fingerprint);
    try {
      return await this.#begin(connection, request);
    } finally {
      this.#running.delete(name);
    }
  }

  async #begin(connection: Connection, request: KeptRequest): Promise<KeptAnswer> {
    const { publications } = this.#deps.store;
    const { idempotencyKey, fingerprint, batch, respondAsync, items } = request;
    const { key, refusal } = connection;
    if (refusal !== null) {
      const known = idempotencyKey === null ? null : await publications.find(key, { idempotencyKey });
      if (known === null) throw refusal;
      return this.#repeat(connection, request, known);
    }
    const id = newPublicationId();
    const beginning = publications.begin(
      connection.fence(),
      {
        ...{ id, idempotencyKey, fingerprint, batch, queued: respondAsync, retentionMs: RETENTION_MS },
        items: items.map((item) =>
          item instanceof Problem
            ? { message: null, outcome: encodeOutcome(item) }
            : { message: item.message, outcome: null },
        ),
      },
      PUBLICATION_LIMITS,
    );
    const result = await beginning.catch((error) => {
      // With an idempotency key a repeat finds out.
      throw idempotencyKey === null && mayHaveCommitted(error) ? outcomeUnknown(MAYBE_QUEUED) : error;
    });
    if (result === 'outbox-full' || result === 'full') throw tooMuch(result);
    if (result !== 'begun') return this.#repeat(connection, request, result);
    if (!respondAsync) return { replayed: false, results: await this.#send(connection, request, id, []) };
    await this.#promise(connection);
    return { replayed: false, publishId: toPublishId(key, id) };
  }

  /** Somebody is to send what is in the outbox, whatever happens from here on; it may have been parked meanwhile. */
  async #promise(connection: Connection): Promise<void> {
    await connection.own();
    await connection.want();
    connection.sendOutbox();
  }

  /** What was published is not published again; what was not sent is tried again. */
  async #repeat(connection: Connection, request: KeptRequest, known: Publication): Promise<KeptAnswer> {
    if (known.fingerprint !== request.fingerprint) throw usedOtherwise();
    if (known.queued) {
      // The first request may have ended before it could promise that.
      if (known.items.some(({ state }) => state === 'open') && connection.refusal === null)
        await this.#promise(connection);
      return { replayed: true, publishId: toPublishId(connection.key, known.id) };
    }
    if (known.items.some(({ state }) => state === 'exchanged')) {
      // The exchange goes on as soon as the Connection is attached.
      connection.sendOutbox();
      throw stillRunning();
    }
    const results = known.items.map(outcomeOf);
    const replayed = results.every((result) => result !== null);
    if (replayed) return { replayed, results };
    if (connection.refusal !== null) throw connection.refusal;
    return { replayed, results: await this.#send(connection, request, known.id, results) };
  }

  /** Publishes, in order, all that has no result yet, and records what became of it. */
  async #send(
    connection: Connection,
    { items }: KeptRequest,
    publication: string,
    known: readonly (PublishResult | null)[],
  ): Promise<PublishResult[]> {
    const settlements: { item: { publication: string; index: number }; outcome: string }[] = [];
    const results = await Promise.all(
      items.map(async (request, index) => {
        const result = known[index] ?? null;
        if (result !== null) return result;
        if (request instanceof Problem) return request;
        const { message, timeoutMs } = request;
        const item = { publication, index };
        const answer = await connection.publish(message, timeoutMs, { item, queuedAt: null }).catch(problemOf);
        // The success of an exchange was recorded with its end.
        const isRecorded = message.qos === 2 && !(answer instanceof Problem);
        if (isFinal(answer) && !isRecorded) settlements.push({ item, outcome: encodeOutcome(answer) });
        return answer;
      }),
    );
    if (settlements.length > 0) await this.#settle(connection, settlements);
    return results;
  }

  /** The caller is told what became of the messages all the same: only a repeat would publish them again. */
  async #settle(
    connection: Connection,
    settlements: Parameters<BridgeDependencies['store']['publications']['settle']>[1],
  ): Promise<void> {
    try {
      await this.#deps.store.publications.settle(connection.fence(), settlements);
    } catch (error) {
      this.#deps.log.warn({ err: error, key: connection.key }, 'the outcome of a publish could not be recorded');
    }
  }
}

function tooMuch(full: 'outbox-full' | 'full'): Problem {
  const { outboxMessages, outboxBytes, publications, publicationBytes } = PUBLICATION_LIMITS;
  const detail =
    full === 'outbox-full'
      ? `No room in the outbox of this Connection, which holds ${outboxMessages} messages or ${outboxBytes} bytes`
      : `The outcomes of ${publications} publishes, or ${publicationBytes} bytes of them, are kept for this Connection: each for 24 hours`;
  return new Problem('overloaded', { detail, retryAfter: full === 'outbox-full' ? 5 : 60 });
}

const MAYBE_QUEUED = 'The store did not say whether it has the messages: they may be sent';

function stillRunning(): Problem {
  return new Problem('still-running', { retryAfter: 1 });
}

function usedOtherwise(): Problem {
  return new Problem('idempotency-key-reused', { detail: 'It was sent with another body within the last 24 hours' });
}
