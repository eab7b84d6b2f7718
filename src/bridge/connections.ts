import { Problem } from '../errors/problem.ts';
import { isReservedId } from '../schemas/common.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import { mergePatch } from '../schemas/connection-patch.ts';
import type { ConnectionView } from '../schemas/connection-view.ts';
import { changedMembers } from './changes.ts';
import { assignClientId } from './connection/client-ids.ts';
import type { Connection } from './connection/connection.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Documents } from './documents.ts';
import type { Bridge, ValidatedConnection } from './facade.ts';
import { expirySeconds } from './link/connect-options.ts';
import type { Dialer } from './link/dial.ts';
import { problemOf } from './link/link-problems.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord } from './ports.ts';
import type { Records } from './records.ts';
import type { Removals } from './removals.ts';
import type { Views } from './views.ts';

/** Records looked at in one page of a list, when they are filtered by state. */
const LIST_PAGE = 100;

interface Found {
  record: ConnectionRecord;
  /** False when it was there. */
  created: boolean;
}

/** The resource that everything else hangs on: declaring, changing, listing and deleting Connections. */
export class Connections {
  readonly #deps: BridgeDependencies & { dialer: Dialer };
  readonly #documents: Documents;
  readonly #records: Records;
  readonly #pool: Pool;
  readonly #views: Views;
  readonly #removals: Removals;

  constructor(
    dependencies: BridgeDependencies & { dialer: Dialer },
    documents: Documents,
    records: Records,
    pool: Pool,
    views: Views,
    removals: Removals,
  ) {
    this.#deps = dependencies;
    this.#documents = documents;
    this.#records = records;
    this.#pool = pool;
    this.#views = views;
    this.#removals = removals;
  }

  /** The live Connection of a caller's id. */
  async live(id: string): Promise<Connection> {
    const owned = isReservedId(id) ? undefined : this.#pool.owned(id);
    if (owned !== undefined) return owned;
    const connection = await this.#pool.obtain(await this.#records.require(id));
    await connection.refresh();
    return connection;
  }

  /** `POST`: kept only if the broker accepts. */
  async open({ parameters }: ValidatedConnection): Promise<{ created: boolean; connection: ConnectionView }> {
    const existing = parameters.id === undefined ? null : await this.#existing(parameters.id);
    if (existing !== null) return this.#reopen(existing, parameters);
    const document = await this.#withClientId(parameters);
    const { record, created } = await this.#create(document, {
      assigned: parameters.clientId === '',
      provisional: true,
    });
    if (!created) return this.#reopen(record, document);
    const connection = await this.#pool.obtain(record);
    try {
      await connection.attach();
      return { created: true, connection: await this.#views.connection(await this.#confirm(record)) };
    } catch (error) {
      // It is another instance's by now, which does the same.
      if (problemOf(error).type !== 'not-owner') await this.#abandon(record, connection);
      throw error;
    }
  }

  /** `PUT`: kept once valid, whatever the broker says. */
  async declare(
    id: string,
    { parameters }: ValidatedConnection,
  ): Promise<{ created: boolean; connection: ConnectionView }> {
    const { record, created } = await this.#findOrCreate(id, parameters);
    const current = created ? record : await this.#declareAnew(record, parameters);
    const connection = await this.#pool.obtain(current);
    // Another request may have begun to attach it. How that ended is told by the state.
    if (created || connection.status.state === 'connecting') await connection.attach().catch(() => undefined);
    return { created, connection: await this.#views.connection(current) };
  }

  /** `PATCH`: the merged document is validated as a whole; secrets that are not sent are kept. */
  async patch(id: string, patch: Record<string, unknown>): Promise<ConnectionView> {
    const record = await this.#records.change(await this.#records.require(id), (before) => {
      const { parameters } = this.#deps.validate(mergePatch(before, patch));
      return { ...parameters, id: parameters.id ?? id, clientId: parameters.clientId || before.clientId };
    });
    return this.#views.connection(record);
  }

  async get(id: string): Promise<ConnectionView> {
    return this.#views.connection(await this.#records.require(id));
  }

  async list(request: Parameters<Bridge['listConnections']>[0]): ReturnType<Bridge['listConnections']> {
    const found: ConnectionView[] = [];
    let after = request.after;
    for (;;) {
      const page = await this.#deps.store.connections.list(after, LIST_PAGE);
      for (const record of page) {
        if (found.length === request.limit) return { connections: found, next: after };
        after = record.id;
        if (record.deleting || record.provisional || isReservedId(record.id)) continue;
        if (request.state !== null && (await this.#views.liveness(record)).state !== request.state) continue;
        found.push(await this.#views.connection(record));
      }
      if (page.length < LIST_PAGE) return { connections: found, next: null };
    }
  }

  async remove(id: string, how: { session: 'discard' | 'keep'; will: 'send' | null }): Promise<'deleted' | 'pending'> {
    const pending = how.session === 'keep' ? await this.#deps.store.connections.byId(id) : null;
    if (pending?.deleting) return this.#removals.giveUp(pending);
    const record = await this.#records.require(id);
    const connection = await this.#pool.obtain(record);
    await connection.own();
    return this.#removals.remove(record, how);
  }

  async attach(id: string): Promise<ConnectionView> {
    const record = await this.#records.require(id);
    await (await this.#pool.obtain(record)).attach();
    return this.#views.connection(record);
  }

  async detach(
    id: string,
    how: { sessionExpiryInterval: number | 'never' | null; will: 'send' | null },
  ): Promise<ConnectionView> {
    const record = await this.#records.require(id);
    const connection = await this.#pool.obtain(record);
    const expiry = how.sessionExpiryInterval;
    if (expiry !== null) requireExpiryChange(connection.parameters, expirySeconds(expiry));
    // `detach` asks for the lease itself, and gives it back.
    await connection.detach({
      ...(how.will === 'send' ? { will: 'send' } : {}),
      ...(expiry === null ? {} : { sessionExpiryInterval: expirySeconds(expiry) }),
    });
    return this.#views.connection(record);
  }

  async #existing(id: string): Promise<ConnectionRecord | null> {
    const record = await this.#deps.store.connections.byId(id);
    return record?.deleting ? null : record;
  }

  /** The document with a ClientID, assigned if it has none, and with the id that defaults to it. */
  async #withClientId(parameters: ConnectionParameters): Promise<ConnectionParameters & { id: string }> {
    const clientId =
      parameters.clientId || (await assignClientId(parameters, this.#profile(parameters), this.#deps.dialer));
    return { ...parameters, clientId, id: parameters.id ?? clientId };
  }

  async #reopen(
    record: ConnectionRecord,
    parameters: ConnectionParameters,
  ): Promise<{ created: boolean; connection: ConnectionView }> {
    // Whoever lets a ClientID be assigned asks for the one that was assigned before.
    const clientId = parameters.clientId || (record.assigned ? record.clientId : '');
    if (changedMembers(this.#documents.read(record), { ...parameters, clientId }).length > 0) {
      throw new Problem('different-parameters', { detail: 'Use PUT or PATCH to change it, or another id' });
    }
    // Waits for an attempt that is under way, also another request's for the same new Connection.
    await (await this.#pool.obtain(record)).attach();
    return { created: false, connection: await this.#views.connection(record) };
  }

  async #declareAnew(record: ConnectionRecord, parameters: ConnectionParameters): Promise<ConnectionRecord> {
    const kept = record.provisional ? await this.#confirm(record) : record;
    return this.#records.change(kept, (before) => ({
      ...parameters,
      id: record.id,
      clientId: parameters.clientId || before.clientId,
      ...(parameters.subscriptions === undefined && before.subscriptions !== undefined
        ? { subscriptions: before.subscriptions }
        : {}),
    }));
  }

  async #findOrCreate(id: string, parameters: ConnectionParameters): Promise<Found> {
    const existing = await this.#existing(id);
    if (existing !== null) return { record: existing, created: false };
    const document = await this.#withClientId({ ...parameters, id });
    return this.#create(document, { assigned: parameters.clientId === '', provisional: false });
  }

  /** Makes a record, or answers the one of that id that another request has just made. */
  async #create(
    document: ConnectionParameters & { id: string },
    marks: { assigned: boolean; provisional: boolean },
  ): Promise<Found> {
    const { store, holder: self, leaseTtlMs } = this.#deps;
    const { connections, leases } = store;
    const record = this.#documents.create(document, marks);
    // Whoever finds the record finds its owner too, and does not begin to attach it beside this request.
    const lease = await leases.acquire(record.key, self, leaseTtlMs);
    const result = await connections.create(record);
    const giveBack = async () => void ('epoch' in lease && (await leases.release(lease)));
    if (result === 'created') {
      // This instance has just begun to stop: another one makes it.
      await this.#pool.obtain(record).catch(async (error) => {
        await connections.remove(record.key).then(giveBack, giveBack);
        throw error;
      });
      return { record, created: true };
    }
    await giveBack();
    const holder =
      result === 'id-taken'
        ? await connections.byId(record.id)
        : await connections.byClientId(record.broker, record.clientId);
    // One that is being deleted gives way once its session is discarded; one that is gone already has given way.
    if (holder === null || (holder.deleting && (await this.#removals.finish(holder))))
      return this.#create(document, marks);
    if (result === 'id-taken' && !holder.deleting) return { record: holder, created: false };
    if (result === 'id-taken') {
      throw new Problem('id-in-use', { detail: 'Its deletion waits for the broker, which cannot be reached' });
    }
    throw new Problem('client-id-in-use', {
      detail: `The Connection ${JSON.stringify(holder.id)} has this ClientID at this broker`,
    });
  }

  /** The Connection is to stay, however another request has changed it meanwhile. */
  async #confirm(record: ConnectionRecord): Promise<ConnectionRecord> {
    const { connections } = this.#deps.store;
    for (let current: ConnectionRecord | null = record; current !== null; ) {
      const confirmed: ConnectionRecord = { ...current, provisional: false, revision: current.revision + 1 };
      const result = await connections.update(current.revision, confirmed);
      if (result === 'updated') return confirmed;
      current = await connections.byKey(record.key);
    }
    throw new Problem('changed-meanwhile', { detail: 'Another request has deleted it' });
  }

  /** Nothing is kept of what the broker refused, unless a PUT wanted it to stay meanwhile. */
  async #abandon(record: ConnectionRecord, connection: Connection): Promise<void> {
    const current = await this.#deps.store.connections.byKey(record.key);
    if (current !== null && !current.provisional) return;
    const why = new Problem('connection-not-found', { detail: 'The broker refused the Connection' });
    await connection.finish({}, true, why).catch(() => undefined);
    this.#pool.forget(record);
    await this.#deps.store.connections.remove(record.key);
  }

  #profile({ url, broker = 'default' }: ConnectionParameters) {
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }
}

/** The expiry may change at DISCONNECT, but not from zero to something: a Protocol Error. [MQTT 5.0 §3.14.2.2.2] */
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
      detail: 'It was zero at CONNECT, and cannot be raised at DISCONNECT [MQTT 5.0 §3.14.2.2.2]',
    });
  }
}
