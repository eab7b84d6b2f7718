import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ItemState, Key, NewPublication, Publication, PublicationItem } from '../../bridge/ports.ts';
import { sizeOf } from '../publication-size.ts';

/** Publications that one write removes when they have expired: more than it adds. */
const PURGED_AT_ONCE = 4;

interface Row extends Omit<Publication, 'batch' | 'queued' | 'items'> {
  readonly batch: number;
  readonly queued: number;
}

/** A message of a queued publication as the outbox keeps it. */
export interface OutboxRow {
  readonly position: number;
  readonly publication: string;
  readonly index: number;
  readonly body: Uint8Array;
  readonly acceptedAt: number;
}

/** Publications, their items and the outbox, inside whatever transaction the caller is in. */
export class PublicationTable {
  readonly #insert: StatementSync;
  readonly #insertItem: StatementSync;
  readonly #byId: StatementSync;
  readonly #byIdempotencyKey: StatementSync;
  readonly #items: StatementSync;
  readonly #state: StatementSync;
  readonly #setState: StatementSync;
  readonly #countEnd: StatementSync;
  readonly #expired: StatementSync;
  readonly #expiredOf: StatementSync;
  readonly #remove: StatementSync;
  readonly #removeItems: StatementSync;
  readonly #kept: StatementSync;
  readonly #countKept: StatementSync;
  readonly #forgetNone: StatementSync;
  readonly #queue: StatementSync;
  readonly #unqueue: StatementSync;
  readonly #contents: StatementSync;
  readonly #count: StatementSync;
  readonly #forgetEmpty: StatementSync;
  readonly #page: StatementSync;
  readonly #queuedItems: StatementSync;
  /** Of the outbox: one that was given is not given again in this process, although its entry is gone. */
  #lastPosition: number;

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare('INSERT INTO publications VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
    this.#insertItem = database.prepare('INSERT INTO publication_items VALUES (?, ?, ?, ?, ?)');
    const columns =
      'id, idempotency_key AS idempotencyKey, fingerprint, batch, queued, accepted_at AS acceptedAt FROM publications';
    this.#byId = database.prepare(`SELECT ${columns} WHERE key = ? AND id = ? AND expires_at > ?`);
    this.#byIdempotencyKey = database.prepare(
      `SELECT ${columns} WHERE key = ? AND idempotency_key = ? AND expires_at > ?`,
    );
    this.#items = database.prepare(
      'SELECT state, outcome FROM publication_items WHERE key = ? AND publication = ? ORDER BY item',
    );
    const item = 'WHERE key = ? AND publication = ? AND item = ?';
    this.#state = database.prepare(`SELECT state FROM publication_items ${item}`);
    this.#setState = database.prepare(`UPDATE publication_items SET state = ?, outcome = ? ${item}`);
    this.#countEnd = database.prepare(
      `UPDATE publications SET unended = unended - 1,
       expires_at = CASE unended WHEN 1 THEN ? + retention ELSE expires_at END WHERE key = ? AND id = ?`,
    );
    this.#expired = database.prepare(
      `SELECT key, id FROM publications WHERE expires_at <= ? ORDER BY expires_at LIMIT ${PURGED_AT_ONCE}`,
    );
    this.#expiredOf = database.prepare(
      'SELECT id FROM publications WHERE key = ? AND expires_at <= ? ORDER BY expires_at LIMIT 1',
    );
    this.#remove = database.prepare('DELETE FROM publications WHERE key = ? AND id = ? RETURNING bytes');
    this.#removeItems = database.prepare('DELETE FROM publication_items WHERE key = ? AND publication = ?');
    this.#kept = database.prepare('SELECT publications, bytes FROM kept_publications WHERE key = ?');
    this.#countKept = database.prepare(
      `INSERT INTO kept_publications VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
       publications = publications + excluded.publications, bytes = bytes + excluded.bytes`,
    );
    this.#forgetNone = database.prepare('DELETE FROM kept_publications WHERE key = ? AND publications = 0');
    this.#queue = database.prepare('INSERT INTO outbox VALUES (?, ?, ?, ?, ?)');
    this.#unqueue = database.prepare(`DELETE FROM outbox ${item} RETURNING length(body) AS size`);
    this.#contents = database.prepare('SELECT messages, bytes FROM outboxes WHERE key = ?');
    this.#count = database.prepare(
      `INSERT INTO outboxes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
       messages = messages + excluded.messages, bytes = bytes + excluded.bytes`,
    );
    this.#forgetEmpty = database.prepare('DELETE FROM outboxes WHERE key = ? AND messages = 0');
    this.#page = database.prepare(
      `SELECT position, publication, item AS "index", body, accepted_at AS acceptedAt FROM outbox
       JOIN publication_items USING (key, publication, item) JOIN publications USING (key)
       WHERE outbox.key = ? AND position > ? AND state = 'open' AND id = publication ORDER BY position LIMIT ?`,
    );
    this.#queuedItems = database.prepare('SELECT item FROM outbox WHERE key = ? AND publication = ?');
    this.#lastPosition = Number(database.prepare('SELECT max(position) AS last FROM outbox').get()?.last ?? 0);
  }

  /** Records it, without its messages. */
  insert(key: Key, publication: NewPublication, now: number): void {
    const { id, idempotencyKey, fingerprint, batch, queued, items, retentionMs } = publication;
    const unended = items.filter(({ outcome }) => outcome === null).length;
    const expiresAt = now + retentionMs * (unended > 0 ? 2 : 1);
    const flags = [Number(batch), Number(queued)];
    const bytes = sizeOf(publication);
    this.#insert.run(key, id, idempotencyKey, fingerprint, ...flags, now, expiresAt, retentionMs, unended, bytes);
    this.#countKept.run(key, 1, bytes);
    for (const [index, { outcome }] of items.entries()) {
      this.#insertItem.run(key, id, index, outcome === null ? 'open' : 'done', outcome);
    }
  }

  find(key: Key, by: { readonly id: string } | { readonly idempotencyKey: string }, now: number): Publication | null {
    const found =
      'id' in by ? this.#byId.get(key, by.id, now) : this.#byIdempotencyKey.get(key, by.idempotencyKey, now);
    if (found === undefined) return null;
    const row = found as unknown as Row;
    const items = this.#items
      .all(key, row.id)
      .map((item) => (item.state === 'done' ? { ...item } : { state: item.state }));
    return { ...row, batch: row.batch === 1, queued: row.queued === 1, items: items as ItemState[] };
  }

  /** Removes some of those that have expired, whosever they are, and in any case the one of that idempotency key. */
  purge(key: Key, idempotencyKey: string | null, now: number): void {
    const former = idempotencyKey === null ? undefined : this.#byIdempotencyKey.get(key, idempotencyKey, 0);
    if (former !== undefined) this.#forget(key, String(former.id));
    for (const expired of this.#expired.all(now)) this.#forget(String(expired.key) as Key, String(expired.id));
  }

  /** Removes the one of this key that expired first; false when none has expired. */
  purgeOne(key: Key, now: number): boolean {
    const expired = this.#expiredOf.get(key, now);
    if (expired === undefined) return false;
    this.#forget(key, String(expired.id));
    return true;
  }

  keptOf(key: Key): { publications: number; bytes: number } {
    const row = this.#kept.get(key);
    return { publications: Number(row?.publications ?? 0), bytes: Number(row?.bytes ?? 0) };
  }

  stateOf(key: Key, { publication, index }: PublicationItem): ItemState['state'] | null {
    return (this.#state.get(key, publication, index)?.state ?? null) as ItemState['state'] | null;
  }

  /** Gives an item that exists its state; what has ended leaves the outbox. */
  setState(key: Key, item: PublicationItem, state: ItemState, now: number): void {
    const before = this.stateOf(key, item);
    if (before === null) return;
    const { publication, index } = item;
    this.#setState.run(state.state, state.state === 'done' ? state.outcome : null, key, publication, index);
    if (hasEnded(before) || !hasEnded(state.state)) return;
    this.unqueue(key, item);
    this.#countEnd.run(now, key, publication);
  }

  outboxOf(key: Key): { messages: number; bytes: number } {
    const row = this.#contents.get(key);
    return { messages: Number(row?.messages ?? 0), bytes: Number(row?.bytes ?? 0) };
  }

  queue(key: Key, { publication, index }: PublicationItem, body: Uint8Array): void {
    this.#lastPosition += 1;
    this.#queue.run(this.#lastPosition, key, publication, index, body);
    this.#count.run(key, 1, body.length);
  }

  unqueue(key: Key, { publication, index }: PublicationItem): void {
    const row = this.#unqueue.get(key, publication, index);
    if (row === undefined) return;
    this.#count.run(key, -1, -Number(row.size));
    this.#forgetEmpty.run(key);
  }

  /** Open ones, in their order. */
  *page(key: Key, after: number, limit: number): Generator<OutboxRow> {
    for (const row of this.#page.iterate(key, after, limit)) yield row as unknown as OutboxRow;
  }

  #forget(key: Key, id: string): void {
    for (const { item } of this.#queuedItems.all(key, id)) {
      this.unqueue(key, { publication: id, index: Number(item) });
    }
    this.#removeItems.run(key, id);
    this.#countKept.run(key, -1, -Number(this.#remove.get(key, id)?.bytes ?? 0));
    this.#forgetNone.run(key);
  }
}

function hasEnded(state: ItemState['state']): boolean {
  return state === 'lost' || state === 'done';
}
