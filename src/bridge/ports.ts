/**
 * What a store must do for the bridge, in the domain's own verbs. Two implementations (`store/sqlite`, `store/redis`)
 * pass one contract suite (`test/contract`). No type of a database or of an MQTT library appears here.
 *
 * Every method rejects with `StoreUnavailable` when the store cannot be reached or cannot commit, and a fenced one with
 * `StaleEpoch` when the lease named by the fence is no longer the valid one. A resolved promise means committed.
 */
import type { IncomingMessage, OutgoingMessage } from '../mqtt/message.ts';

/** A Connection's immutable opaque identity inside the bridge. Never the ClientID. */
export type Key = string & { readonly __brand: 'Key' };
/** A lease's fencing token: a counter and a nonce, compared for equality only. */
export type Epoch = string & { readonly __brand: 'Epoch' };
/** The place of one message in a queue: opaque, and ordered by the store that issued it. */
export type Position = string & { readonly __brand: 'Position' };

/** A right to write for a key, valid while the lease of that epoch is. */
export interface Fence {
  readonly key: Key;
  readonly epoch: Epoch;
}

export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  /** Whether what was asked for may have been committed all the same, or may be yet: there was no answer. */
  readonly mayHaveCommitted: boolean;

  constructor(message: string, options: ErrorOptions & { mayHaveCommitted?: boolean } = {}) {
    super(message, options);
    this.mayHaveCommitted = options.mayHaveCommitted ?? false;
  }
}

/** Whether the store failed, and may have done all the same what it was asked for. */
export function mayHaveCommitted(error: unknown): boolean {
  return error instanceof StoreUnavailable && error.mayHaveCommitted;
}
export class StaleEpoch extends Error {
  override readonly name = 'StaleEpoch';
}

/** What a caller declared, as stored. Unknown members are preserved when a record of a newer release is rewritten. */
export interface ConnectionRecord {
  readonly schema: 1;
  readonly key: Key;
  /** Names the Connection in paths. Unique. */
  readonly id: string;
  readonly clientId: string;
  /** `profile:<name>` or `url:<normalised>`: ClientIDs are unique per broker, so (broker, clientId) is unique. */
  readonly broker: string;
  /** The validated document, without its secrets. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** The document's secrets, encrypted; null when there are none. */
  readonly sealed: string | null;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** True while `POST` still waits for CONNACK: start-up and the sweep remove what a crash left in this state. */
  readonly provisional: boolean;
  /** True when the ClientID was assigned, not chosen by the caller. */
  readonly assigned?: boolean;
  /** True after `DELETE` while the broker could not be reached to discard the session: it is tried again. */
  readonly deleting?: boolean;
  /** Raised by every update; an update names the revision it was made from. */
  readonly revision: number;
}

export type CreateResult = 'created' | 'id-taken' | 'client-id-in-use';
export type UpdateResult = 'updated' | 'conflict' | 'gone';

export interface ConnectionRecords {
  /** Stores a new record, or says which of its two unique names is taken. */
  create(record: ConnectionRecord): Promise<CreateResult>;
  /** Replaces the record of `record.key` if it is still at `revision`. `id`, `clientId` and `broker` never change. */
  update(revision: number, record: ConnectionRecord): Promise<UpdateResult>;
  byId(id: string): Promise<ConnectionRecord | null>;
  byKey(key: Key): Promise<ConnectionRecord | null>;
  /** The holder of a ClientID at a broker. */
  byClientId(broker: string, clientId: string): Promise<ConnectionRecord | null>;
  /** Records in code-point order of `id`, those after `after`. */
  list(after: string | null, limit: number): Promise<ConnectionRecord[]>;
  /** Removes the record and all that is stored under its key: session, queue, identifiers, exchanges, publications. Idempotent. */
  remove(key: Key): Promise<void>;
}

/** Who may hold leases: a process of an instance. */
export interface Holder {
  /** Names the instance; a process that replaces another has the same. */
  readonly nodeId: string;
  /** Random, of this process alone; without spaces. */
  readonly process: string;
}

export interface Lease extends Fence {
  readonly holder: Holder;
}

export interface Renewal {
  readonly renewed: ReadonlySet<Key>;
  readonly lost: ReadonlySet<Key>;
}

export interface Leases {
  /**
   * Takes the lease for `holder` if nobody has it, for `ttlMs` by the store's clock. The same process asking again gets
   * its own lease back, renewed, with the same epoch, while nobody else took it meanwhile. A process takes the lease
   * of another of the same `nodeId` at once, with an epoch of its own: its predecessor can write no more.
   *
   * With `waitMs` it stands in line when it does not get the lease, for so long and again with each asking: among those
   * that wait the first gets it. Who does not wait is not held up by them.
   */
  acquire(key: Key, holder: Holder, ttlMs: number, waitMs?: number): Promise<Lease | { readonly heldBy: string }>;
  /**
   * Calls back when the lease has been given back and `holder` is the first in line. It may be called without that, once
   * when it begins among others, and what tells it can be lost. Answers how to end it.
   */
  watchTurn(key: Key, holder: Holder, onTurn: () => void): () => void;
  /**
   * Who gives up waiting stands in line no more, and keeps nobody else waiting. The process keeps its place while it
   * watches its turn elsewhere.
   */
  leaveLine(key: Key, holder: Holder): Promise<void>;
  /** Whether anybody stands in line for the lease. */
  isAwaited(key: Key): Promise<boolean>;
  /**
   * Renews many at once; answers whose lease is renewed, and whose is lost: ended, or another epoch's. One that could not
   * be asked about is in neither; rejects when none could.
   */
  renew(leases: readonly Fence[], ttlMs: number): Promise<Renewal>;
  /** Gives it back. A lease that is no longer ours is left alone. */
  release(lease: Fence): Promise<void>;
  /** The same, unless anybody stands in line for it: then it answers false, and the lease stays as it is. */
  releaseUnlessAwaited(lease: Fence): Promise<boolean>;
  /** The `nodeId` of the holder. */
  holder(key: Key): Promise<string | null>;
}

/** An instance that shares the store, as the others see it. */
export interface Member {
  readonly nodeId: string;
  /** Of `Holder`: tells a restarted instance from the one before. */
  readonly process: string;
  /** Connections that it owns. */
  readonly load: number;
  /** Whether it takes more: false while it stops. */
  readonly open: boolean;
}

/** Which instances are alive. */
export interface Members {
  /** Says that an instance lives, for `ttlMs` by the store's clock; answers all that live, itself included. */
  announce(member: Member, ttlMs: number): Promise<Member[]>;
  list(): Promise<Member[]>;
  /** Forgets it at once, unless another process of that `nodeId` has announced itself since. Idempotent. */
  leave(member: Pick<Member, 'nodeId' | 'process'>): Promise<void>;
  /** Milliseconds since the epoch by the store's clock, the same for all instances. */
  time(): Promise<number>;
}

/** Somebody who listens to the bus. */
export interface Listening {
  /** False while nothing would arrive, because the connection was lost and is not back yet. */
  readonly isUp: boolean;
  stop(): void;
}

/** Carries frames between instances: at most once, in the order in which one instance sends to another. */
export interface Bus {
  /** What is sent to `nodeId` from now on; resolves once it stands. It comes back after a loss. */
  listen(nodeId: string, onFrame: (frame: Uint8Array) => void): Promise<Listening>;
  /** Answers whether anybody listened. False: nobody got it. Rejects when that is not known. */
  send(nodeId: string, frame: Uint8Array): Promise<boolean>;
}

/** When somebody has to look at a Connection next: its lease ends then, or its session is to be drained. */
export interface Schedule {
  /** Replaces what was said of these keys before. Idempotent. */
  set(entries: readonly { readonly key: Key; readonly inMs: number }[]): Promise<void>;
  cancel(keys: readonly Key[]): Promise<void>;
  /**
   * Keys that are due by the store's clock, longest first, at most `limit`. They are due again after `holdMs`, unless
   * `set` or `cancel` says otherwise: whoever took them may die. No two callers get the same one meanwhile.
   */
  take(limit: number, holdMs: number): Promise<Key[]>;
  /** Keys that are due within that time, a part of them at a time, in any order. */
  upcoming(withinMs: number): AsyncIterable<readonly Key[]>;
}

/** What the owner knows of the MQTT session, written by the owner only. JSON; unknown members are preserved. */
export interface SessionRecord {
  readonly schema: 1;
  /** Counts a Connection's sessions at the broker; 0 before the first CONNACK. */
  readonly generation: number;
  /** Everything else that the bridge keeps here (state, since, reason, CONNACK, granted filters). Opaque to the store. */
  readonly status: Readonly<Record<string, unknown>>;
}

export interface QueueLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Seconds. */
  readonly maxAge: number;
  /** What gives way when the queue is full: its oldest messages, or the broker, who keeps what is not taken. */
  readonly overflow: 'dropOldest' | 'hold';
}

/** One step of the inbound flow, in the broker's order. */
export type InboundEntry =
  /** A message; `packetId` is set at QoS 2, where a packet identifier already stored marks a duplicate. */
  | { readonly kind: 'message'; readonly message: IncomingMessage; readonly packetId?: number }
  /** PUBREL: forget the identifier. */
  | { readonly kind: 'release'; readonly packetId: number };

export interface AppendResult {
  /** Entries of the group that are committed, from its front: all, unless the queue holds and the next one does not fit. */
  readonly taken: number;
  /** Messages that entered the queue (QoS 2 duplicates are not counted). */
  readonly stored: number;
  /** Messages that `dropOldest` removed to keep the limits. */
  readonly dropped: number;
}

export interface Inbound {
  /** The session record, or null before the first save. */
  loadSession(key: Key): Promise<SessionRecord | null>;
  /** Replaces `status`; never touches the generation. */
  saveStatus(fence: Fence, status: SessionRecord['status']): Promise<void>;
  /** A new session began at the broker: raises the generation and discards QoS 2 identifiers of the one before. */
  beginGeneration(fence: Fence, status: SessionRecord['status']): Promise<number>;
  /**
   * Commits a group atomically: messages into the queue, QoS 2 identifiers with them, releases erased. Over its
   * limits a queue that drops its oldest does so after the append, counted; one that holds takes the entries before the
   * first message that does not fit, and an empty one takes any message. Wakes `Queues.watch`.
   */
  append(fence: Fence, generation: number, group: readonly InboundEntry[], limits: QueueLimits): Promise<AppendResult>;
}

export interface QueuedMessage {
  readonly position: Position;
  readonly message: IncomingMessage;
  readonly deliveryCount: number;
}

export interface QueuePage {
  readonly messages: readonly QueuedMessage[];
  /** Messages in the queue after the last one scanned: exact. */
  readonly remaining: number;
}

export interface QueueStats {
  readonly depth: number;
  readonly bytes: number;
  /** Messages removed by the queue's limits or its high-water mark since the Connection was created. */
  readonly dropped: number;
}

export interface Queues {
  /** Up to `limit` messages after `after` (from the start when null). Expired ones (Message Expiry, maxAge) are not shown. */
  read(key: Key, after: Position | null, limit: number): Promise<QueuePage>;
  /** Removes everything up to and including `through`; answers how many. Idempotent. */
  removeThrough(key: Key, through: Position): Promise<number>;
  /** Removes just these; answers how many there were. Idempotent. */
  removeEach(key: Key, positions: readonly Position[]): Promise<number>;
  stats(key: Key): Promise<QueueStats>;
  /** Adds to `dropped`: what the owner let fall before it could be stored (inbound QoS 0 above the mark). */
  countDropped(fence: Fence, count: number): Promise<void>;
  /** Whether a string is a position that this store could have issued. */
  isPosition(text: string): text is Position;
  /** Negative when `a` is before `b` in the queue, positive when after, 0 when they are the same. */
  compare(a: Position, b: Position): number;
  /** Calls `onAppend` after each group that any instance appends; answers the way to stop. */
  watch(key: Key, onAppend: () => void): () => void;
}

/** One message of a publication. */
export interface PublicationItem {
  readonly publication: string;
  /** Its place, from 0. */
  readonly index: number;
}

/** What became of a message: JSON, opaque to the store. Null: it was never sent, whatever the store was told before. */
export interface Settlement {
  readonly item: PublicationItem;
  readonly outcome: string | null;
}

/**
 * `open`: not sent, or not at QoS 2, as far as the store knows; `exchanged`: its QoS 2 exchange decides; `lost`: that
 * exchange was discarded with its session, so nobody will ever know; `done`: it has its outcome.
 */
export type ItemState = { readonly state: 'open' | 'exchanged' | 'lost' } | { readonly state: 'done'; outcome: string };

/** A publish whose outcome is kept. */
export interface Publication {
  /** Names it under its key. */
  readonly id: string;
  readonly idempotencyKey: string | null;
  /** Of the request: opaque to the store, without spaces. */
  readonly fingerprint: string;
  /** Whether the caller sent an array. */
  readonly batch: boolean;
  /** Whether its messages are in the outbox until they are sent. */
  readonly queued: boolean;
  /** Milliseconds since the epoch, by the store's clock. */
  readonly acceptedAt: number;
  readonly items: readonly ItemState[];
}

export interface NewPublication
  extends Pick<Publication, 'id' | 'idempotencyKey' | 'fingerprint' | 'batch' | 'queued'> {
  /** In their order; one with an outcome is done. A queued publication has the messages of the others. */
  readonly items: readonly { readonly message: OutgoingMessage | null; readonly outcome: string | null }[];
  /** How long it is kept once all its items have ended; twice as long before. */
  readonly retentionMs: number;
}

/** What a Connection may have of publications. */
export interface PublicationLimits {
  /** Messages that wait in its outbox. */
  readonly outboxMessages: number;
  /** Of these messages as the store keeps them. */
  readonly outboxBytes: number;
  /** Publications that are kept, until they expire. */
  readonly publications: number;
  /** Of what is kept of them apart from messages; an outcome that is not known yet counts with what it may take. */
  readonly publicationBytes: number;
}

export interface OutboxEntry {
  /** Grows with each entry of the outbox. */
  readonly position: number;
  readonly item: PublicationItem;
  readonly message: OutgoingMessage;
  /** How long ago it was accepted, by the store's clock. */
  readonly ageMs: number;
}

export type BeginResult = 'begun' | 'outbox-full' | 'full' | Publication;

/** Publishes that outlive their request: those with an Idempotency-Key, and those that were queued. */
export interface Publications {
  /**
   * Records a publication, with its messages in the outbox when it is queued. `outbox-full`: the outbox has no room for
   * them all; `full`: too many publications are kept, those that expired not counted. Where the key has one with the
   * same `idempotencyKey`, that one is answered, and nothing is changed.
   */
  begin(fence: Fence, publication: NewPublication, limits: PublicationLimits): Promise<BeginResult>;
  /** One that has not expired. */
  find(key: Key, by: { readonly id: string } | { readonly idempotencyKey: string }): Promise<Publication | null>;
  /** What is `open` in the outbox after a position, in the order in which it was queued. A page may end early. */
  outbox(key: Key, after: number, limit: number): Promise<OutboxEntry[]>;
  /** Gives `open` items their outcome; one with an exchange gets it from `Exchanges`. */
  settle(fence: Fence, settlements: readonly (Settlement & { readonly outcome: string })[]): Promise<void>;
}

/** An outbound QoS 2 exchange: its state outlives the process, so that the next owner can finish it. */
export interface OutboundExchange {
  readonly packetId: number;
  /** `publish`: PUBLISH may have been sent; `release`: PUBREC came, only PUBREL may be sent. */
  readonly stage: 'publish' | 'release';
  /** PUBREC's, which tells whether anybody subscribes; 0 before it came. */
  readonly reasonCode: number;
  /** The PUBLISH packet as it goes on the wire. */
  readonly packet: Uint8Array;
  /** Whose exchange it is, if its outcome is kept. */
  readonly item: PublicationItem | null;
}

export interface NewExchange {
  readonly packetId: number;
  readonly packet: Uint8Array;
  readonly item?: PublicationItem | null;
}

/** What PUBREC said. */
export type Receipt = Pick<OutboundExchange, 'packetId' | 'reasonCode'>;

/** Whatever happens to an exchange happens to the item that it belongs to, in the same commit. */
export interface Exchanges {
  /** Recorded before PUBLISH is sent; replaces a finished exchange of the same identifier. `open` items are `exchanged`. */
  begin(fence: Fence, generation: number, exchanges: readonly NewExchange[]): Promise<void>;
  /** Recorded before PUBREL is sent. */
  release(fence: Fence, generation: number, receipts: readonly Receipt[]): Promise<void>;
  /**
   * After PUBCOMP, or a PUBREC that refuses; the settlements are those of their items. A null outcome makes an item
   * that is `exchanged` `open` again; any other counts, also where the item was `lost` meanwhile. Idempotent.
   */
  finish(fence: Fence, packetIds: readonly number[], settlements?: readonly Settlement[]): Promise<void>;
  /** Those of this generation, in the order they began; those of other generations are discarded, their items `lost`. */
  load(fence: Fence, generation: number): Promise<OutboundExchange[]>;
}

export interface Store {
  readonly connections: ConnectionRecords;
  readonly leases: Leases;
  readonly members: Members;
  readonly bus: Bus;
  /**
   * Every record has an entry until it is cancelled: one that was lost, or never made because of a crash, comes back as
   * due. A store of one process begins with all of them due.
   */
  readonly schedule: Schedule;
  readonly inbound: Inbound;
  readonly queues: Queues;
  readonly exchanges: Exchanges;
  readonly publications: Publications;
  /** Resolves when the store answers; rejects with `StoreUnavailable` and the reason. */
  ping(): Promise<void>;
  /** Commits what is under way and closes. Idempotent. */
  close(): Promise<void>;
}
