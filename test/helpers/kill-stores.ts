import { randomBytes } from 'node:crypto';
import type { Environment } from './bridge-process.ts';
import { type RedisServer, startRedis } from './redis.ts';

/** A store that a bridge process is told to use. */
export interface StoreUnderTest {
  readonly env: Environment;
  /** Null when it is a file of the bridge's own. */
  readonly redis: RedisServer | null;
  stop(): Promise<void>;
}

/** The stores for which nothing acknowledged is lost, by name. */
export const STORES: Readonly<Record<'SQLite' | 'Redis', () => Promise<StoreUnderTest>>> = {
  SQLite: async () => ({ env: {}, redis: null, stop: async () => {} }),
  Redis: async () => {
    const redis = await startRedis({ appendfsync: 'always' });
    const env = {
      STORE_URL: redis.url,
      BRIDGE_SECRET_KEY: randomBytes(32).toString('base64'),
      LEASE_TTL_MS: '1000',
      // The same after each start, as where the operator names the instances: it need not wait for its own lease.
      NODE_ID: 'killed',
    };
    return { env, redis, stop: () => redis.stop() };
  },
};
