import { nameById, namesOf } from './claims.ts';
import type { RedisClient } from './client.ts';
import type { ConnectionParts } from './connections.ts';
import { unavailable } from './errors.ts';
import type { IndexEntry } from './record-index.ts';

const AT_ONCE = 500;

export interface SweepReport {
  /** Entries of the list and of the schedule whose Connection does not exist: removed. */
  readonly stale: number;
  /** Connections that the list or one of their unique names had lost: put back. */
  readonly restored: number;
  /** Connections of which the schedule said nothing: due now. */
  readonly scheduled: number;
}

/**
 * Makes the list, the unique names and the schedule agree with the records again, after crashes within a create or a
 * removal, and after fail-overs that lost writes of one slot and not of another. Safe beside everything else and beside
 * other sweeps: it only removes what points to a record that is gone, which never comes back, and only adds what can be
 * found stale.
 */
export async function sweep(client: RedisClient, parts: ConnectionParts): Promise<SweepReport> {
  const { restored, scheduled } = await restore(client, parts);
  return { restored, scheduled, stale: (await removeStaleFromList(parts)) + (await removeStaleFromSchedule(parts)) };
}

async function removeStaleFromList({ keys, records, claims, index }: ConnectionParts): Promise<number> {
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

async function removeStaleFromSchedule({ records, schedule }: ConnectionParts): Promise<number> {
  let stale = 0;
  for await (const keys of schedule.entries()) {
    for (let from = 0; from < keys.length; from += AT_ONCE) {
      const part = keys.slice(from, from + AT_ONCE);
      const found = await Promise.all(part.map((key) => records.find(key)));
      const gone = part.filter((_, place) => found[place] === null);
      await schedule.cancel(gone);
      stale += gone.length;
    }
  }
  return stale;
}

async function restore(
  client: RedisClient,
  { keys, records, claims, index, schedule }: ConnectionParts,
): Promise<Pick<SweepReport, 'restored' | 'scheduled'>> {
  const report = { restored: 0, scheduled: 0 };
  for await (const names of recordNames(client, keys.recordPattern())) {
    const found = await Promise.all(names.map((name) => records.find(keys.keyOfRecord(name))));
    const committed = found.filter((record) => record !== null && record !== 'prepared');
    report.scheduled += await schedule.restore(committed.map(({ key }) => key));
    for (const record of committed) {
      let missing = await index.add(record);
      for (const unique of namesOf(keys, record)) {
        if ((await client.send('GET', unique.claim)) !== null) continue;
        await claims.take(unique, record.key);
        missing = true;
      }
      if (missing) report.restored += 1;
    }
  }
  return report;
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
