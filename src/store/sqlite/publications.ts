import type {
  BeginResult,
  Fence,
  Key,
  NewPublication,
  OutboxEntry,
  Publication,
  PublicationLimits,
  Publications,
  Settlement,
} from '../../bridge/ports.ts';
import { decodeOutgoing, encodeOutgoing } from '../message-codec.ts';
import { sizeOf } from '../publication-size.ts';
import type { MemoryLeases } from './leases.ts';
import type { PublicationTable } from './publication-table.ts';
import type { Transactions } from './transactions.ts';

/** A page ends after the message that passes this many bytes. */
const PAGE_BYTES = 8 * 1024 * 1024;

export interface PublicationParts {
  readonly transactions: Transactions;
  readonly leases: MemoryLeases;
  readonly publications: PublicationTable;
  readonly now: () => number;
}

/** Publishes whose outcome is kept. */
export class SqlitePublications implements Publications {
  readonly #parts: PublicationParts;

  constructor(parts: PublicationParts) {
    this.#parts = parts;
  }

  begin(fence: Fence, publication: NewPublication, limits: PublicationLimits): Promise<BeginResult> {
    const { transactions, leases, publications, now } = this.#parts;
    const { id, idempotencyKey, queued, items } = publication;
    return transactions.write(() => {
      leases.check(fence);
      const time = now();
      const known = idempotencyKey === null ? null : publications.find(fence.key, { idempotencyKey }, time);
      if (known !== null) return known;
      publications.purge(fence.key, idempotencyKey, time);
      const bodies = items.map(({ message, outcome }) =>
        queued && message !== null && outcome === null ? encodeOutgoing(message) : null,
      );
      if (queued && !hasRoom(bodies, publications.outboxOf(fence.key), limits)) return 'outbox-full';
      while (!mayKeep(publication, publications.keptOf(fence.key), limits)) {
        if (!publications.purgeOne(fence.key, time)) return 'full';
      }
      publications.insert(fence.key, publication, time);
      for (const [index, body] of bodies.entries()) {
        if (body !== null) publications.queue(fence.key, { publication: id, index }, body);
      }
      return 'begun';
    });
  }

  find(key: Key, by: { readonly id: string } | { readonly idempotencyKey: string }): Promise<Publication | null> {
    const { transactions, publications, now } = this.#parts;
    return transactions.read(() => publications.find(key, by, now()));
  }

  outbox(key: Key, after: number, limit: number): Promise<OutboxEntry[]> {
    const { transactions, publications, now } = this.#parts;
    return transactions.read(() => {
      const time = now();
      const entries: OutboxEntry[] = [];
      let bytes = 0;
      for (const { position, publication, index, body, acceptedAt } of publications.page(key, after, limit)) {
        const item = { publication, index };
        entries.push({ position, item, message: decodeOutgoing(body), ageMs: time - acceptedAt });
        bytes += body.length;
        if (bytes >= PAGE_BYTES) break;
      }
      return entries;
    });
  }

  settle(fence: Fence, settlements: readonly (Settlement & { readonly outcome: string })[]): Promise<void> {
    const { transactions, leases, publications, now } = this.#parts;
    return transactions.write(() => {
      leases.check(fence);
      for (const { item, outcome } of settlements) {
        if (publications.stateOf(fence.key, item) !== 'open') continue;
        publications.setState(fence.key, item, { state: 'done', outcome }, now());
      }
    });
  }
}

function hasRoom(
  bodies: readonly (Uint8Array | null)[],
  { messages, bytes }: { messages: number; bytes: number },
  { outboxMessages, outboxBytes }: PublicationLimits,
): boolean {
  const added = bodies.filter((body) => body !== null);
  const size = added.reduce((sum, body) => sum + body.length, 0);
  return added.length === 0 || (messages + added.length <= outboxMessages && bytes + size <= outboxBytes);
}

function mayKeep(
  publication: NewPublication,
  kept: { publications: number; bytes: number },
  { publications, publicationBytes }: PublicationLimits,
): boolean {
  return kept.publications < publications && kept.bytes + sizeOf(publication) <= publicationBytes;
}
