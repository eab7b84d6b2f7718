import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { Key, Store } from '../../src/bridge/ports.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { openSqliteStore } from '../../src/store/sqlite/index.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { checkLeases } from './models/leases.ts';
import { checkRouting } from './models/routing.ts';
import { LONG } from './store/fixtures.ts';

const LEASE_RUNS = 100;
const ROUTING_RUNS = 15;
const PATIENCE = 120_000;

describe('whatever happens to a lease, at most one has it; whatever is asked is done once, refused, or not known', () => {
  describe('SQLite', () => {
    let clock = Date.now();
    const expire = async () => {
      clock += LONG;
    };
    const open = () => openSqliteStore({ path: ':memory:', now: () => clock });

    it('leases', { timeout: PATIENCE }, async () => {
      const store = open();
      await checkLeases(store, expire, LEASE_RUNS);
      await store.close();
    });

    it('routing', { timeout: PATIENCE }, async () => {
      let shared: Store | null = null;
      // One process: its instances share the store.
      const openShared = async () => {
        shared ??= open();
        const { close } = shared;
        return Object.assign(shared, {
          close: () => {
            shared = null;
            return close();
          },
        });
      };
      await checkRouting(openShared, expire, ROUTING_RUNS);
    });
  });

  describe('Redis', () => {
    let server: RedisServer;
    let admin: Redis;
    beforeAll(async () => {
      server = await startRedis();
      admin = new Redis(server.url);
    });
    afterAll(async () => {
      admin.disconnect();
      await server.stop();
    });

    const open = () => openRedisStore({ url: server.url, prefix: 'models', nodeId: 'model' });
    /** The key of a lease goes when its time is over. */
    const expire = async (key: Key) => {
      await admin.del(`models:v1:{${key}}:lease`);
    };

    it('leases', { timeout: PATIENCE }, async () => {
      const store = await open();
      await checkLeases(store, expire, LEASE_RUNS);
      await store.close();
    });

    it('routing', { timeout: PATIENCE }, async () => {
      const expireOf = async (store: Store, id: string) => {
        const record = await store.connections.byId(id);
        if (record !== null) await expire(record.key);
      };
      await checkRouting(open, expireOf, ROUTING_RUNS);
    });
  });
});
