/**
 * What the routes see of the bridge. Every method takes validated input and rejects with a `Problem` that the API can
 * answer as it is. `id` is the Connection's id as callers name it.
 */
import type { Problem } from '../errors/problem.ts';
import type { IncomingMessage, OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import type { ConnectionView, SubscriptionView, Warning } from '../schemas/connection-view.ts';
import type { SubscriptionRequest } from '../schemas/subscription.ts';

export interface ValidatedConnection {
  parameters: ConnectionParameters;
  warnings: Warning[];
}

export interface PublishRequest {
  message: OutgoingMessage;
  /** How long the caller waits for the outcome, in milliseconds. */
  timeoutMs: number;
}

/** Per message, in order: what became of it, or why it failed. */
export type PublishResult = PublishOutcome | Problem;

/** A publish whose outcome is kept. */
export interface KeptRequest {
  /** In their order; an invalid message of a batch has its problem already. */
  items: readonly (PublishRequest | Problem)[];
  /** Whether the caller sent an array. */
  batch: boolean;
  /** Queues the messages instead of waiting for the broker. */
  respondAsync: boolean;
  idempotencyKey: string | null;
  /** Of the body: another one does not belong to the same idempotency key. */
  fingerprint: string;
}

/** `replayed`: it is what an earlier request with the same idempotency key was answered. */
export type KeptAnswer = { replayed: boolean } & ({ publishId: string } | { results: PublishResult[] });

export interface PublicationView {
  publishId: string;
  /** Milliseconds since the epoch. */
  acceptedAt: number;
  batch: boolean;
  /** Per message, in order; null while it is not known. */
  results: (PublishResult | null)[];
}

export interface ReadRequest {
  /** A message's id, as a caller sent it: a foreign one is `invalid-cursor`. */
  after: string | null;
  limit: number;
  /** Long poll: how long to wait for the first message, in milliseconds. */
  waitMs: number;
  /** Only messages whose topic matches; scans at most 10,000 entries. */
  filter: string | null;
  /** Whether a parked session is drained first, where what is queued does not fill the page. */
  drain: boolean;
  /** Aborted when the caller went away. */
  signal: AbortSignal;
}

export interface ReadMessage {
  id: string;
  message: IncomingMessage;
  deliveryCount: number;
}

export interface ReadPage {
  messages: ReadMessage[];
  /** The cursor to go on from: the last entry scanned, or what was asked when nothing was; null on an empty queue. */
  next: string | null;
  remaining: number;
  dropped: number;
  /** Whether the drain of a parked session took in all that the broker kept; absent where there was none. */
  complete?: boolean;
  connection: Pick<ConnectionView, 'state' | 'since' | 'reason'>;
}

export interface SubscribeResult {
  /** The broker has answered; false when the Connection is not attached and the filter waits for the next attach. */
  applied: boolean;
  results: SubscriptionView[];
}

export interface RetainedPage {
  messages: IncomingMessage[];
  /** Whether the broker had fallen silent for the quiet time: only then is the list known to be whole. */
  complete: boolean;
  /** The topic to go on after, in code-point order; null when this was the last page. */
  next: string | null;
}

/** What a run of the keeper did. */
export interface Kept {
  /** Sessions that were drained, and so renewed. */
  readonly drained: number;
  /** Whether there are due ones left: the next run goes on with them. */
  readonly remaining: boolean;
}

export interface Readiness {
  ready: boolean;
  store: { ok: boolean; detail?: string };
  broker: { ok: boolean; detail?: string };
}

export interface Bridge {
  openConnection(input: ValidatedConnection): Promise<{ created: boolean; connection: ConnectionView }>;
  declareConnection(id: string, input: ValidatedConnection): Promise<{ created: boolean; connection: ConnectionView }>;
  /** `patch` is a JSON merge patch of the document; the result is validated as a whole. */
  patchConnection(id: string, patch: Record<string, unknown>): Promise<ConnectionView>;
  getConnection(id: string): Promise<ConnectionView>;
  listConnections(request: {
    state: ConnectionView['state'] | null;
    limit: number;
    /** The id of the last one seen. */
    after: string | null;
  }): Promise<{ connections: ConnectionView[]; next: string | null }>;
  /** `pending`: forgotten here, but the broker could not be reached to discard the session; it is tried again. */
  deleteConnection(
    id: string,
    how: { session: 'discard' | 'keep'; will: 'send' | null },
  ): Promise<'deleted' | 'pending'>;
  attachConnection(id: string): Promise<ConnectionView>;
  detachConnection(
    id: string,
    how: { sessionExpiryInterval: number | 'never' | null; will: 'send' | null },
  ): Promise<ConnectionView>;

  publish(id: string, requests: readonly PublishRequest[]): Promise<PublishResult[]>;
  publishKept(id: string, request: KeptRequest): Promise<KeptAnswer>;
  getPublication(publishId: string): Promise<PublicationView>;
  /** Without a Connection: through a publisher of the bridge's own. */
  publishPooled(broker: string, requests: readonly PublishRequest[]): Promise<PublishResult[]>;
  publishPooledKept(broker: string, request: KeptRequest): Promise<KeptAnswer>;

  /**
   * Takes in what the broker kept for a parked session; see `ReadPage.complete`. Null when there is nothing to drain.
   * Done when there were more than `drains` of them by then: somebody else has just drained it.
   */
  drain(id: string, budgetMs: number, drains: number): Promise<boolean | null>;
  readMessages(id: string, request: ReadRequest): Promise<ReadPage>;
  acknowledgeMessages(id: string, request: { through: string; filter: string | null }): Promise<{ removed: number }>;

  listSubscriptions(id: string): Promise<SubscriptionView[]>;
  addSubscriptions(id: string, requests: readonly SubscriptionRequest[]): Promise<SubscribeResult>;
  removeSubscription(id: string, filter: string): Promise<void>;

  retainedMessage(broker: string, topic: string): Promise<IncomingMessage | null>;
  retainedMessages(
    broker: string,
    request: { filter: string; limit: number; after: string | null; timeoutMs: number },
  ): Promise<RetainedPage>;

  /** In a function: looks at Connections that are due, until none is or the budget is spent. */
  keep(budgetMs: number, signal: AbortSignal): Promise<Kept>;
  readiness(): Promise<Readiness>;
  /** Attaches what should be attached. Resolves when that has begun, not when all are online. */
  start(): Promise<void>;
  /**
   * Finishes what is under way, disconnects normally, releases the leases. Other instances get the Connections one after
   * the other, for so many milliseconds (4,000); what is left then, together.
   */
  stop(leaveInMs?: number): Promise<void>;
}
