import { afterAll } from 'vitest';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { startRedis } from '../helpers/redis.ts';
import { describeStore } from './store-suite.ts';

const server = await startRedis();
afterAll(() => server.stop());

const open = () => openRedisStore({ url: server.url, prefix: 'contract', nodeId: 'node-a' });
describeStore('the Redis store, on one server', { open, openAnother: open, reopen: open });
