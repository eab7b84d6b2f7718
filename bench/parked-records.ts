import { createKey } from '../src/bridge/documents.ts';
import type { Key, Store } from '../src/bridge/ports.ts';

const AT_ONCE = 500;
const HOLDER = { nodeId: 'bench', process: 'bench' };
const LEASE_MS = 60_000;

/**
 * Copies a parked Connection, by the store's ports: over HTTP each would have to be attached first. The copies have
 * sessions that no broker knows; they are due after `inMs`.
 */
export async function copyParked(
  store: Pick<Store, 'connections' | 'inbound' | 'leases' | 'schedule'>,
  { from, count, inMs }: { from: string; count: number; inMs: number },
): Promise<void> {
  const record = await store.connections.byId(from);
  const session = record === null ? null : await store.inbound.loadSession(record.key);
  if (record === null || session === null) throw new Error(`there is no Connection ${from} that was attached`);
  const copy = async (index: number) => {
    const id = `${from}-copy-${index}`;
    const key = createKey();
    await store.connections.create({ ...record, key, id, clientId: id });
    await park(key, session.status);
  };
  const park = async (key: Key, status: typeof session.status) => {
    const lease = await store.leases.acquire(key, HOLDER, LEASE_MS);
    if ('heldBy' in lease) throw new Error('a new key has an owner');
    await store.inbound.beginGeneration(lease, status);
    await store.schedule.set([{ key, inMs }]);
    await store.leases.release(lease);
  };
  const waiting = Array.from({ length: count }).keys();
  const work = async () => {
    for (const index of waiting) await copy(index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
