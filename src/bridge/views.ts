import type { ConnectionParameters } from '../schemas/connection.ts';
import type { ConnectionView, Warning } from '../schemas/connection-view.ts';
import { readStatus, type SessionStatus } from './connection/session-status.ts';
import { SubscriptionTable } from './connection/subscription-table.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Documents } from './documents.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord } from './ports.ts';

type Liveness = Pick<
  ConnectionView,
  'state' | 'since' | 'reason' | 'connack' | 'generation' | 'subscriptions' | 'owner'
>;
/** How often the session was drained, as far as its owner has told. */
type Drained = Pick<SessionStatus, 'drains'>;

/** Connections as callers see them: the owner's live knowledge here, else what the owner stored last. */
export class Views {
  readonly #deps: Pick<BridgeDependencies, 'store' | 'holder' | 'validate'>;
  readonly #documents: Documents;
  readonly #pool: Pool;

  constructor(
    dependencies: Pick<BridgeDependencies, 'store' | 'holder' | 'validate'>,
    documents: Documents,
    pool: Pool,
  ) {
    this.#deps = dependencies;
    this.#documents = documents;
    this.#pool = pool;
  }

  async connection(record: ConnectionRecord): Promise<ConnectionView> {
    const document = this.#documents.read(record);
    const [{ drains: _drains, ...liveness }, queue] = await Promise.all([
      this.liveness(record),
      this.#deps.store.queues.stats(record.key),
    ]);
    const { subscriptions: _own, ...parameters } = record.parameters as unknown as typeof document;
    return {
      id: record.id,
      clientId: record.clientId,
      ...liveness,
      parameters,
      secrets: this.#documents.secretNames(record),
      queue: { depth: queue.depth, bytes: queue.bytes, dropped: queue.dropped },
      warnings: this.#warnings(record, document),
      createdAt: new Date(record.createdAt).toISOString(),
    };
  }

  /** What changes while a Connection lives. */
  async liveness(record: ConnectionRecord): Promise<Liveness & Drained> {
    const live = this.#pool.get(record.key);
    if (live !== undefined && live.lease !== null) {
      const { generation, subscriptions } = live;
      const { state, since, reason, connack, drains } = live.status;
      const owner = this.#deps.holder.nodeId;
      return { state, since: new Date(since).toISOString(), reason, connack, generation, subscriptions, owner, drains };
    }
    const [session, owner] = await Promise.all([
      this.#deps.store.inbound.loadSession(record.key),
      this.#deps.store.leases.holder(record.key),
    ]);
    const { state, since, reason, connack, granted, drains } = readStatus(session, record.createdAt);
    const wanted = this.#documents.read(record).subscriptions ?? [];
    const orphaned = owner === null && (state === 'online' || state === 'connecting');
    return {
      state: orphaned ? 'offline' : state,
      since: new Date(since).toISOString(),
      reason: orphaned ? { code: 'no-owner', detail: 'No instance has the Connection; one will take it' } : reason,
      connack,
      generation: session?.generation ?? 0,
      subscriptions: new SubscriptionTable(granted).view(wanted),
      owner,
      drains,
    };
  }

  /** Warnings are derived, never stored: a release that knows more says more. */
  #warnings(record: ConnectionRecord, document: ConnectionParameters): Warning[] {
    // An assigned ClientID is judged as the caller wrote it: not at all.
    const asWritten = record.assigned ? { ...document, clientId: '' } : document;
    try {
      return this.#deps.validate(asWritten, { stored: true }).warnings;
    } catch {
      // The operator's rules changed since: the next PUT will name the fault.
      return [];
    }
  }
}
