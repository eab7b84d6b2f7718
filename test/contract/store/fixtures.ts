import { randomUUID } from 'node:crypto';
import type {
  ConnectionRecord,
  Holder,
  InboundEntry,
  Key,
  Lease,
  Position,
  QueueLimits,
  QueuePage,
  Store,
} from '../../../src/bridge/ports.ts';
import type { IncomingMessage } from '../../../src/mqtt/message.ts';

/** What a part of the suite gets: the store to test, and a way to let time pass for it. */
export interface StoreContext {
  readonly store: Store;
  /** Another instance on the same data; the same one where a store has only one. */
  readonly other: Store;
  /** Resolves once `condition` holds, which takes `ms` of the store's time. */
  elapse(ms: number, condition: () => Promise<boolean>): Promise<void>;
}

export const ROOMY: QueueLimits = {
  maxMessages: 1_000_000,
  maxBytes: 1_000_000_000,
  maxAge: 86_400,
  overflow: 'dropOldest',
};
/** A lease time that no test outlives. */
export const LONG = 600_000;

/** A name that no other test, run or store has. */
export function unique(prefix = 'k'): string {
  return `${prefix}-${randomUUID()}`;
}

export function newKey(): Key {
  return unique() as Key;
}

export function newRecord(members: Partial<ConnectionRecord> = {}): ConnectionRecord {
  return {
    schema: 1,
    key: newKey(),
    id: unique('id'),
    clientId: unique('client'),
    broker: 'profile:default',
    parameters: { keepAlive: 60 },
    sealed: null,
    createdAt: 1_790_000_000_000,
    provisional: false,
    revision: 1,
    ...members,
  };
}

export function newMessage(text: string, members: Partial<IncomingMessage> = {}): IncomingMessage {
  return {
    topic: 'plant/7/temperature',
    payload: Buffer.from(text),
    qos: 1,
    retain: false,
    dup: false,
    receivedAt: Date.now(),
    ...members,
  };
}

/** Messages as entries of a group; at QoS 2 when given an identifier for the first one. */
export function entries(texts: readonly string[], firstPacketId?: number): InboundEntry[] {
  return texts.map((text, index) =>
    firstPacketId === undefined
      ? { kind: 'message', message: newMessage(text) }
      : { kind: 'message', message: newMessage(text, { qos: 2 }), packetId: firstPacketId + index },
  );
}

/** A process of an instance, the first one unless another is named. */
export function holderOf(nodeId: string, process = '1'): Holder {
  return { nodeId, process };
}

/** The lease on a key, or a new key, for an instance that has no competitor. */
export async function own(store: Store, key: Key = newKey(), nodeId = 'node-a', ttlMs = LONG): Promise<Lease> {
  const lease = await store.leases.acquire(key, holderOf(nodeId), ttlMs);
  if ('heldBy' in lease) throw new Error(`${key} is held by ${lease.heldBy}`);
  return lease;
}

/** A key with these messages in its queue. */
export async function filled(store: Store, texts: readonly string[], limits = ROOMY): Promise<Lease> {
  const lease = await own(store);
  await store.inbound.append(lease, 1, entries(texts), limits);
  return lease;
}

export function textsOf(page: QueuePage): string[] {
  return page.messages.map(({ message }) => Buffer.from(message.payload).toString());
}

export function positionsOf(page: QueuePage): Position[] {
  return page.messages.map(({ position }) => position);
}

/** All payloads of a queue as text, read page by page. */
export async function drain(store: Store, key: Key, pageSize = 1_000): Promise<string[]> {
  const texts: string[] = [];
  for (let after: Position | null = null; ; ) {
    const page: QueuePage = await store.queues.read(key, after, pageSize);
    texts.push(...textsOf(page));
    const last = page.messages.at(-1);
    if (last === undefined) return texts;
    after = last.position;
  }
}

/** The position at an index of a page. */
export function positionAt(page: QueuePage, index: number): Position {
  const position = positionsOf(page).at(index);
  if (position === undefined) throw new Error(`the page has no message ${index}`);
  return position;
}

/** A message with its bytes as text: compares content, whatever class the byte arrays have. */
export function plain(message: IncomingMessage): Record<string, unknown> {
  const { payload, properties, ...rest } = message;
  const correlationData = properties?.correlationData;
  return {
    ...rest,
    payload: toHex(payload),
    ...(properties && {
      properties: { ...properties, ...(correlationData && { correlationData: toHex(correlationData) }) },
    }),
  };
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

export function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}
