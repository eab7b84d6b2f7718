import { afterAll, expect, it } from 'vitest';
import type { Key } from '../../src/bridge/ports.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { startRedis } from '../helpers/redis.ts';
import { startWire } from '../helpers/wire.ts';

const COMMANDS = 50;

const server = await startRedis();
const sent: Buffer[] = [];
const wire = await startWire(server.url, { onSent: (bytes) => sent.push(bytes) });
const store = await openRedisStore({ url: wire.url, prefix: 'writes', nodeId: 'node-a', sweeps: false });
afterAll(async () => {
  await store.close();
  await wire.stop();
  await server.stop();
});

it('commands of one turn of the event loop leave together', async () => {
  sent.length = 0;
  const keys = Array.from({ length: COMMANDS }, (_, index) => `key-${index}` as Key);
  await Promise.all(keys.map((key) => store.leases.holder(key)));
  const withCommands = sent.filter((bytes) => bytes.includes('key-'));
  expect(
    Buffer.concat(withCommands)
      .toString()
      .match(/key-\d+/g),
  ).toHaveLength(COMMANDS);
  expect(withCommands).toHaveLength(1);
});
