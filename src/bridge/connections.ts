import { Problem } from '../errors/problem.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import { mergePatch } from '../schemas/connection-patch.ts';
import type { ConnectionView } from '../schemas/connection-view.ts';
import type { Ending } from './attachment.ts';
import { changedMembers } from './changes.ts';
import { assignClientId } from './client-ids.ts';
import { expirySeconds } from './connect-options.ts';
import type { Connection } from './connection.ts';
import type { BridgeDependencies } from './dependencies.ts';
import type { Documents } from './documents.ts';
import type { Bridge, ValidatedConnection } from './facade.ts';
import type { Pool } from './pool.ts';
import type { ConnectionRecord } from './ports.ts';
import type { Records } from './records.ts';
import type { Views } from './views.ts';

/** Records looked at in one page of a list, when they are filtered by state. */
const LIST_PAGE = 100;

/** The resource that everything else hangs on: declaring, changing, listing and deleting Connections. */
export class Connections {
  readonly #deps: BridgeDependencies;
  readonly #documents: Documents;
  readonly #records: Records;
  readonly #pool: Pool;
  readonly #views: Views;

  constructor(dependencies: BridgeDependencies, documents: Documents, records: Records, pool: Pool, views: Views) {
    this.#deps = dependencies;
    this.#documents = documents;
    this.#records = records;
    this.#pool = pool;
    this.#views = views;
  }

  /** The live Connection of an id. */
  async live(id: string): Promise<Connection> {
    return this.#pool.owned(id) ?? (await this.#pool.obtain(await this.#records.require(id)));
  }

  /** `POST`: kept only if the broker accepts. */
  async open({ parameters }: ValidatedConnection): Promise<{ created: boolean; connection: ConnectionView }> {
    const clientId = parameters.clientId || (await assignClientId(parameters, this.#profile(parameters)));
    const document = { ...parameters, clientId, id: parameters.id ?? clientId };
    const existing = await this.#deps.store.connections.byId(document.id);
    if (existing !== null && !existing.deleting) return this.#reopen(existing, document);
    const record = await this.#create(document, parameters.clientId === '');
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
    const record = await this.#records.change(existing, (before) => ({
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
        if (record.deleting || record.provisional) continue;
        if (request.state !== null && (await this.#views.liveness(record)).state !== request.state) continue;
        found.push(await this.#views.connection(record));
      }
      if (page.length < LIST_PAGE) return { connections: found, next: null };
    }
  }

  async remove(id: string, how: { session: 'discard' | 'keep'; will: 'send' | null }): Promise<'deleted' | 'pending'> {
    const record = await this.#records.require(id);
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
    await connection.detach({
      ...(how.will === 'send' ? { will: 'send' } : {}),
      ...(expiry === null ? {} : { sessionExpiryInterval: expirySeconds(expiry) }),
    });
    return this.#views.connection(record);
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

  async #create(document: ConnectionParameters & { id: string }, assigned = false): Promise<ConnectionRecord> {
    const { connections } = this.#deps.store;
    const record = this.#documents.create(document.id, document, assigned);
    const result = await connections.create(record);
    if (result === 'created') return record;
    const holder =
      result === 'id-taken'
        ? await connections.byId(record.id)
        : await connections.byClientId(record.broker, record.clientId);
    if (holder?.deleting && (await this.finishRemoval(holder))) return this.#create(document, assigned);
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

  #profile({ url, broker = 'default' }: ConnectionParameters) {
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }
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
