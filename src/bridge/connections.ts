import { Problem } from '../errors/problem.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import { mergePatch } from '../schemas/connection-patch.ts';
import type { ConnectionView, SubscriptionView } from '../schemas/connection-view.ts';
import type { SubscriptionRequest } from '../schemas/subscription.ts';
import type { Ending } from './attachment.ts';
import { changedMembers, needsReattach } from './changes.ts';
import { assignClientId } from './client-ids.ts';
import { brokerIdentity, expirySeconds } from './connect-options.ts';
import type { Connection } from './connection.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Documents } from './documents.ts';
import type { Bridge, SubscribeResult, ValidatedConnection } from './facade.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord } from './ports.ts';
import type { Views } from './views.ts';

/** Records looked at in one page of a list, when they are filtered by state. */
const LIST_PAGE = 100;
/** How often a change is tried again that another request overtook. */
const UPDATE_ATTEMPTS = 5;

/** The resource that everything else hangs on: declaring, changing, listing and deleting Connections. */
export class Connections {
  readonly #deps: BridgeDependencies;
  readonly #documents: Documents;
  readonly #pool: Pool;
  readonly #views: Views;

  constructor(dependencies: BridgeDependencies, documents: Documents, pool: Pool, views: Views) {
    this.#deps = dependencies;
    this.#documents = documents;
    this.#pool = pool;
    this.#views = views;
  }

  /** The record of an id; `connection-not-found` when there is none, or only one that is being deleted. */
  async require(id: string): Promise<ConnectionRecord> {
    const record = await this.#deps.store.connections.byId(id);
    if (record === null || record.deleting) {
      throw new Problem('connection-not-found', { detail: `There is no Connection with the id ${JSON.stringify(id)}` });
    }
    return record;
  }

  /** The live Connection of an id. */
  async live(id: string): Promise<Connection> {
    return this.#pool.owned(id) ?? (await this.#pool.obtain(await this.require(id)));
  }

  /** `POST`: kept only if the broker accepts. */
  async open({ parameters }: ValidatedConnection): Promise<{ created: boolean; connection: ConnectionView }> {
    const clientId = parameters.clientId || (await assignClientId(parameters, this.#profile(parameters)));
    const document = { ...parameters, clientId, id: parameters.id ?? clientId };
    const existing = await this.#deps.store.connections.byId(document.id);
    if (existing !== null && !existing.deleting) return this.#reopen(existing, document);
    const record = await this.#create(document);
    const connection = await this.#pool.obtain(record);
    try {
      await connection.attach();
      return { created: true, connection: await this.#views.connection(await this.#confirm(record)) };
    } catch (error) {
      await this.#abandon(record, connection);
      throw error;
    }
  }

  /** `PUT`: kept once valid, whatever the broker says. */
  async declare(
    id: string,
    { parameters }: ValidatedConnection,
  ): Promise<{ created: boolean; connection: ConnectionView }> {
    const existing = await this.#deps.store.connections.byId(id);
    if (existing === null || existing.deleting) {
      const record = await this.#confirm(
        await this.#create({ ...parameters, id, clientId: parameters.clientId || id }),
      );
      // How the attempt ended is told by the state.
      const connection = await this.#pool.obtain(record);
      await connection.attach().catch(() => undefined);
      return { created: true, connection: await this.#views.connection(record) };
    }
    const record = await this.#change(existing, (before) => ({
      ...parameters,
      id,
      clientId: parameters.clientId || before.clientId,
      ...(parameters.subscriptions === undefined && before.subscriptions !== undefined
        ? { subscriptions: before.subscriptions }
        : {}),
    }));
    return { created: false, connection: await this.#views.connection(record) };
  }

  /** `PATCH`: the merged document is validated as a whole; secrets that are not sent are kept. */
  async patch(id: string, patch: Record<string, unknown>): Promise<ConnectionView> {
    const record = await this.#change(await this.require(id), (before) => {
      const { parameters } = this.#deps.validate(mergePatch(before, patch));
      return { ...parameters, id: parameters.id ?? id, clientId: parameters.clientId || before.clientId };
    });
    return this.#views.connection(record);
  }

  async get(id: string): Promise<ConnectionView> {
    return this.#views.connection(await this.require(id));
  }

  async list(request: Parameters<Bridge['listConnections']>[0]): ReturnType<Bridge['listConnections']> {
    const found: ConnectionView[] = [];
    let after = request.after;
    for (;;) {
      const page = await this.#deps.store.connections.list(after, LIST_PAGE);
      for (const record of page) {
        if (found.length === request.limit) return { connections: found, next: after };
        after = record.id;
        if (record.deleting || record.provisional) continue;
        if (request.state !== null && (await this.#views.liveness(record)).state !== request.state) continue;
        found.push(await this.#views.connection(record));
      }
      if (page.length < LIST_PAGE) return { connections: found, next: null };
    }
  }

  async remove(id: string, how: { session: 'discard' | 'keep'; will: 'send' | null }): Promise<'deleted' | 'pending'> {
    const record = await this.require(id);
    const connection = await this.#pool.obtain(record);
    const ending: Ending = how.will === 'send' ? { will: 'send' } : {};
    if (how.session === 'keep') await connection.stop(ending);
    const gone = how.session === 'keep' || (await connection.discard(ending));
    this.#pool.forget(record);
    if (gone) {
      await this.#deps.store.connections.remove(record.key);
      return 'deleted';
    }
    await this.#deps.store.connections.update(record.revision, {
      ...record,
      deleting: true,
      revision: record.revision + 1,
    });
    return 'pending';
  }

  /** Tries again what `remove` left pending. */
  async finishRemoval(record: ConnectionRecord): Promise<boolean> {
    const connection = await this.#pool.obtain(record);
    const gone = await connection.discard();
    this.#pool.forget(record);
    if (gone) await this.#deps.store.connections.remove(record.key);
    return gone;
  }

  async attach(id: string): Promise<ConnectionView> {
    const record = await this.require(id);
    await (await this.#pool.obtain(record)).attach();
    return this.#views.connection(record);
  }

  async detach(
    id: string,
    how: { sessionExpiryInterval: number | 'never' | null; will: 'send' | null },
  ): Promise<ConnectionView> {
    const record = await this.require(id);
    const connection = await this.#pool.obtain(record);
    const expiry = how.sessionExpiryInterval;
    if (expiry !== null) requireExpiryChange(connection.parameters, expirySeconds(expiry));
    await connection.detach({
      ...(how.will === 'send' ? { will: 'send' } : {}),
      ...(expiry === null ? {} : { sessionExpiryInterval: expirySeconds(expiry) }),
    });
    return this.#views.connection(record);
  }

  async subscriptions(id: string): Promise<SubscriptionView[]> {
    return (await this.#views.liveness(await this.require(id))).subscriptions;
  }

  /** Filters that the broker refuses are not kept. */
  async subscribe(id: string, requests: readonly SubscriptionRequest[]): Promise<SubscribeResult> {
    const filters = new Set(requests.map(({ filter }) => filter));
    const { record, document } = await this.#store(await this.require(id), (before) => ({
      ...before,
      subscriptions: [...(before.subscriptions ?? []).filter(({ filter }) => !filters.has(filter)), ...requests],
    }));
    const connection = await this.#pool.obtain(record);
    const applied = await connection.subscribe(document, [...filters]);
    const results = connection.subscriptions.filter(({ filter }) => filters.has(filter));
    const refused = new Set(results.filter(({ granted }) => granted?.qos === null).map(({ filter }) => filter));
    if (refused.size > 0) await this.#dropFilters(record, refused);
    return { applied, results };
  }

  async unsubscribe(id: string, filter: string): Promise<void> {
    const record = await this.require(id);
    if (!this.#documents.read(record).subscriptions?.some((known) => known.filter === filter)) {
      throw new Problem('subscription-not-found', { detail: `The Connection has no subscription to ${filter}` });
    }
    await this.#dropFilters(record, new Set([filter]));
  }

  #dropFilters(record: ConnectionRecord, filters: ReadonlySet<string>): Promise<ConnectionRecord> {
    return this.#change(record, (before) => ({
      ...before,
      subscriptions: (before.subscriptions ?? []).filter(({ filter }) => !filters.has(filter)),
    }));
  }

  async #reopen(
    record: ConnectionRecord,
    document: ConnectionParameters,
  ): Promise<{ created: boolean; connection: ConnectionView }> {
    if (changedMembers(this.#documents.read(record), document).length > 0) {
      throw new Problem('different-parameters', { detail: 'Use PUT or PATCH to change it, or another id' });
    }
    // Waits for an attempt that is under way, also another request's for the same new Connection.
    await (await this.#pool.obtain(record)).attach();
    return { created: false, connection: await this.#views.connection(record) };
  }

  async #create(document: ConnectionParameters & { id: string }): Promise<ConnectionRecord> {
    const { connections } = this.#deps.store;
    const record = this.#documents.create(document.id, document);
    const result = await connections.create(record);
    if (result === 'created') return record;
    const holder =
      result === 'id-taken'
        ? await connections.byId(record.id)
        : await connections.byClientId(record.broker, record.clientId);
    if (holder?.deleting && (await this.finishRemoval(holder))) return this.#create(document);
    throw result === 'id-taken'
      ? new Problem('id-in-use', { detail: `Another request has just made ${JSON.stringify(record.id)}` })
      : new Problem('client-id-in-use', { detail: `The Connection ${JSON.stringify(holder?.id)} has this ClientID` });
  }

  /** The Connection is to stay. */
  async #confirm(record: ConnectionRecord): Promise<ConnectionRecord> {
    const confirmed = { ...record, provisional: false, revision: record.revision + 1 };
    const result = await this.#deps.store.connections.update(record.revision, confirmed);
    if (result !== 'updated') throw new Problem('changed-meanwhile', {});
    return confirmed;
  }

  async #abandon(record: ConnectionRecord, connection: Connection): Promise<void> {
    await connection.discard().catch(() => false);
    this.#pool.forget(record);
    await this.#deps.store.connections.remove(record.key);
  }

  /** Stores a changed document and lets the live Connection follow. */
  async #change(
    record: ConnectionRecord,
    edit: (before: ConnectionParameters) => ConnectionParameters,
  ): Promise<ConnectionRecord> {
    const { record: stored, document, changed } = await this.#store(record, edit);
    const connection = await this.#pool.obtain(stored);
    // A failure to attach again is told by the state.
    if (changed.length > 0) await connection.update(document, needsReattach(changed)).catch(() => undefined);
    return stored;
  }

  async #store(
    first: ConnectionRecord,
    edit: (before: ConnectionParameters) => ConnectionParameters,
  ): Promise<{ record: ConnectionRecord; document: ConnectionParameters; changed: string[] }> {
    let record = first;
    for (let attempt = 0; attempt < UPDATE_ATTEMPTS; attempt += 1) {
      const before = this.#documents.read(record);
      const document = edit(before);
      const changed = changedMembers(before, document);
      if (changed.length === 0) return { record, document, changed };
      requireSameIdentity(record, document);
      const next = this.#documents.replace(record, document);
      const result = await this.#deps.store.connections.update(record.revision, next);
      if (result === 'updated') return { record: next, document, changed };
      record = await this.require(record.id);
    }
    throw new Problem('changed-meanwhile', { detail: 'Other requests change the same Connection' });
  }

  #profile({ url, broker = 'default' }: ConnectionParameters) {
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }
}

/** What a broker knows a client by cannot change: that would be another Connection. */
function requireSameIdentity(record: ConnectionRecord, document: ConnectionParameters): void {
  const faults = [
    document.id === record.id ? null : { pointer: '/id', detail: 'The id names the Connection and cannot change' },
    document.clientId === record.clientId
      ? null
      : { pointer: '/clientId', detail: 'Another ClientID is another session: delete and create instead' },
    brokerIdentity(document) === record.broker
      ? null
      : {
          pointer: document.url === undefined ? '/broker' : '/url',
          detail: 'Another broker is another session: delete and create instead',
        },
  ].filter((fault) => fault !== null);
  if (faults.length > 0) throw new Problem('immutable-parameter', { detail: faults[0]?.detail ?? '', errors: faults });
}

/** The expiry may change at DISCONNECT, but not from zero to something: a Protocol Error. [MQTT-3.14.2-2] */
function requireExpiryChange(parameters: ConnectionParameters, seconds: number): void {
  if (parameters.protocolVersion !== '5.0') {
    throw new Problem('invalid-request', {
      detail: 'Only MQTT 5.0 has a Session Expiry Interval',
      errors: [
        { pointer: '/sessionExpiryInterval', detail: 'Only MQTT 5.0 has it', reference: 'MQTT 5.0 §3.14.2.2.2' },
      ],
    });
  }
  if (seconds > 0 && expirySeconds(parameters.sessionExpiryInterval) === 0) {
    throw new Problem('session-expiry-not-allowed', {
      detail: 'It was zero at CONNECT, and cannot be raised at DISCONNECT [MQTT-3.14.2-2]',
    });
  }
}
