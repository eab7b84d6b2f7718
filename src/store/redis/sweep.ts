import { nameById, namesOf } from './claims.ts';
import type { RedisClient } from './client.ts';
import type { ConnectionParts } from './connections.ts';
import { unavailable } from './errors.ts';
import type { IndexEntry } from './record-index.ts';

const AT_ONCE = 500;

export interface SweepReport {
  /** Entries of the list whose Connection does not exist: removed. */
  readonly stale: number;
  /** Connections that the list or one of their unique names had lost: put back. */
  readonly restored: number;
}

/**
 * Makes the list and the unique names agree with the records again, after crashes within a create or a removal, and
 * after fail-overs that lost writes of one slot and not of another. Safe beside everything else and beside other sweeps:
 * it only removes what points to a record that is gone, which never comes back, and only adds what can be found stale.
 */
export async function sweep(client: RedisClient, parts: ConnectionParts): Promise<SweepReport> {
  return { stale: await removeStale(parts), restored: await restore(client, parts) };
}

async function removeStale({ keys, records, claims, index }: ConnectionParts): Promise<number> {
  let stale = 0;
  let from: IndexEntry | null = null;
  for (;;) {
    const entries: IndexEntry[] = await index.after(from, AT_ONCE);
    for (const entry of entries) {
      if ((await records.find(entry.key)) !== null) continue;
      await claims.release(nameById(keys, entry.id), entry.key);
      await index.remove(entry);
      stale += 1;
    }
    from = entries.at(-1) ?? null;
    if (entries.length < AT_ONCE) return stale;
  }
}

async function restore(client: RedisClient, { keys, records, claims, index }: ConnectionParts): Promise<number> {
  let restored = 0;
  for await (const names of recordNames(client, keys.recordPattern())) {
    for (const name of names) {
      const record = await records.find(keys.keyOfRecord(name));
      if (record === null || record === 'prepared') continue;
      let missing = await index.add(record);
      for (const unique of namesOf(keys, record)) {
        if ((await client.send('GET', unique.claim)) !== null) continue;
        await claims.take(unique, record.key);
        missing = true;
      }
      if (missing) restored += 1;
    }
  }
  return restored;
}

/** The names of all records, some of them perhaps twice, server by server. */
async function* recordNames(client: RedisClient, match: string): AsyncGenerator<string[]> {
  for (const server of client.masters()) {
    try {
      yield* server.scanStream({ match, count: AT_ONCE }) as AsyncIterable<string[]>;
    } catch (error) {
      throw unavailable(error);
    }
  }
}
