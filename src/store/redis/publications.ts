import type {
  BeginResult,
  Fence,
  ItemState,
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
import type { Argument, Commands, Runner } from './client.ts';
import { unlessStale } from './errors.ts';
import { fromItemName } from './item-names.ts';
import type { Keys, Part } from './keys.ts';
import { asArray, asBytes, asNumber, asRows, asText } from './replies.ts';

/** A page ends after the message that passes this many bytes. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** What `publication-begin` writes: accepted, retention, items, queued, batch, fingerprint, idempotency key. */
const HEADER = /^(?<accepted>\d+) \d+ \d+ (?<queued>[01]) (?<batch>[01]) (?<fingerprint>\S+) (?<idempotencyKey>.*)$/;
const DONE = 'done ';
/** What `publication-begin` answers where it does not answer with the publication that it found. */
const BEGIN_RESULTS: Readonly<Record<number, 'begun' | 'outbox-full' | 'full'>> = {
  0: 'outbox-full',
  1: 'begun',
  3: 'full',
};

/** Publishes whose outcome is kept, in a hash per Connection. `durable` is the client whose writes count as committed. */
export class RedisPublications implements Publications {
  readonly #client: Commands;
  readonly #durable: Runner;
  readonly #keys: Keys;

  constructor(client: Commands, durable: Runner, keys: Keys) {
    this.#client = client;
    this.#durable = durable;
    this.#keys = keys;
  }

  async begin({ key, epoch }: Fence, publication: NewPublication, limits: PublicationLimits): Promise<BeginResult> {
    const { id, idempotencyKey, fingerprint, queued, batch, items, retentionMs } = publication;
    const pairs = items.flatMap(({ message, outcome }): Argument[] => [
      outcome === null ? 'open' : DONE + outcome,
      queued && message !== null && outcome === null ? encodeOutgoing(message) : '',
    ]);
    const rest = `${Number(queued)} ${Number(batch)} ${fingerprint}`;
    const { outboxMessages, outboxBytes, publications, publicationBytes } = limits;
    const bounds = [outboxMessages, outboxBytes, publications, publicationBytes];
    const args = [epoch, id, idempotencyKey ?? '', rest, retentionMs, ...bounds, sizeOf(publication), ...pairs];
    const names = this.#names(key, 'lease', 'publications', 'publication-keys', 'publication-expiry', 'outbox');
    const [result, ...known] = asArray(unlessStale(await this.#durable.run('publication-begin', names, args)));
    return BEGIN_RESULTS[asNumber(result)] ?? toPublication(known);
  }

  async find(key: Key, by: { readonly id: string } | { readonly idempotencyKey: string }): Promise<Publication | null> {
    const names = this.#names(key, 'publications', 'publication-keys', 'publication-expiry');
    const args = 'id' in by ? [by.id, ''] : ['', by.idempotencyKey];
    const found = asArray(await this.#client.run('publication-find', names, args));
    return found.length === 0 ? null : toPublication(found);
  }

  async outbox(key: Key, after: number, limit: number): Promise<OutboxEntry[]> {
    const names = this.#names(key, 'publications', 'outbox');
    const [now, page] = asArray(await this.#client.run('outbox', names, [after, limit, PAGE_BYTES]));
    return asRows(page, 4).map(([position, name, header, message]) => ({
      position: asNumber(position),
      item: fromItemName(asText(name)),
      message: decodeOutgoing(asBytes(message)),
      ageMs: asNumber(now) - Number.parseInt(asText(header), 10),
    }));
  }

  async settle(
    { key, epoch }: Fence,
    settlements: readonly (Settlement & { readonly outcome: string })[],
  ): Promise<void> {
    const names = this.#names(key, 'lease', 'publications', 'publication-expiry', 'outbox');
    const triples = settlements.flatMap(({ item, outcome }) => [item.publication, item.index, outcome]);
    unlessStale(await this.#durable.run('publication-settle', names, [epoch, ...triples]));
  }

  #names(key: Key, ...parts: Part[]): string[] {
    return parts.map((part) => this.#keys.of(key, part));
  }
}

function toPublication([id, header, ...states]: unknown[]): Publication {
  const groups = HEADER.exec(asText(header))?.groups;
  if (groups === undefined) throw new TypeError('the header of a publication is not one');
  const { accepted, queued, batch, fingerprint = '', idempotencyKey = '' } = groups;
  return {
    id: asText(id),
    idempotencyKey: idempotencyKey === '' ? null : idempotencyKey,
    fingerprint,
    batch: batch === '1',
    queued: queued === '1',
    acceptedAt: Number(accepted),
    items: states.map((state) => toItemState(asText(state))),
  };
}

function toItemState(text: string): ItemState {
  if (text.startsWith(DONE)) return { state: 'done', outcome: text.slice(DONE.length) };
  return { state: text as 'open' | 'exchanged' | 'lost' };
}
