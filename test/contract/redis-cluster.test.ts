import { afterAll } from 'vitest';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { startRedisCluster } from '../helpers/redis.ts';
import { describeStore } from './store-suite.ts';

const cluster = await startRedisCluster();
afterAll(() => cluster.stop());

const open = () => openRedisStore({ url: cluster.url, prefix: 'contract', nodeId: 'node-a' });
describeStore('the Redis store, on a Cluster', { open, openAnother: open, reopen: open });
