import { join } from 'node:path';
import type { RedisServer } from '../../test/helpers/redis.ts';
import type { Server } from '../servers.ts';

/** Bytes in use. */
export interface Memory {
  /** Of the bridge: resident, and what its objects and buffers take once garbage is collected. */
  readonly rss: number;
  readonly objects: number;
  /** Of Redis. */
  readonly redis: number;
}

/** Arguments of Node for a bridge whose memory is measured. */
export const PROBED = ['--expose-gc', '--import', join(import.meta.dirname, '../servers/memory-probe.ts')];

/** What a bridge that was started with `PROBED` uses now, and the Redis behind it. */
export async function measureMemory({ process }: Server, { admin }: Pick<RedisServer, 'admin'>): Promise<Memory> {
  const reports = () => [...process.stderr().matchAll(/^memory (.*)$/gm)];
  const before = reports().length;
  process.signal('SIGUSR2');
  const [, json = ''] = await process.waitForState(() => reports()[before] ?? null, 'a report of its memory', 60_000);
  const usage: NodeJS.MemoryUsage = JSON.parse(json);
  const [, redis] = /^used_memory:(\d+)/m.exec(await admin.info('memory')) ?? [];
  // Buffers are a part of what is external.
  return { rss: usage.rss, objects: usage.heapUsed + usage.external, redis: Number(redis) };
}
