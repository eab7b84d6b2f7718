import { afterAll, describe, expect, it } from 'vitest';
import type { Epoch } from '../../src/bridge/ports.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';
import { holderOf, LONG, newKey, newRecord, own } from './store/fixtures.ts';
import { takeAll } from './store/schedule.ts';

// The release before this one, of which instances run beside ours for the length of a rolling restart: what it wrote,
// and what it did with what it read.

const PREFIX = 'releases';
const keys = new Keys(PREFIX);
const server = await startRedis();
const store = await openRedisStore({ url: server.url, prefix: PREFIX, nodeId: 'node-a', sweeps: false });
afterAll(async () => {
  await store.close();
  await server.stop();
});

const ACQUIRE_BEFORE = `
local current = redis.call('GET', KEYS[1])
local last = current or redis.call('GET', KEYS[2])
local epoch, holder = string.match(last or '', '^(%S+) (.*)$')
if current and holder ~= ARGV[1] then
  return {0, holder}
end
if holder ~= ARGV[1] then
  local counter = tonumber(string.match(epoch or '', '^%d+') or 0) + 1
  epoch = string.format('%d:%s', counter, ARGV[2])
end
local lease = epoch .. ' ' .. ARGV[1]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[3])
redis.call('SET', KEYS[2], lease)
return {1, epoch}`;

function acquireBefore(key: ReturnType<typeof newKey>, instance: string): Promise<unknown> {
  const names = [keys.of(key, 'lease'), keys.of(key, 'last-lease')];
  return server.admin.eval(ACQUIRE_BEFORE, 2, ...names, instance, 'nonce', LONG);
}

describe('a lease of the release before', () => {
  it('is respected, and taken over by the next process of its instance', async () => {
    const key = newKey();
    expect(await acquireBefore(key, 'node-a')).toEqual([1, '1:nonce']);
    const before = { key, epoch: '1:nonce' as Epoch };
    expect(await store.leases.acquire(key, holderOf('node-b'), LONG)).toEqual({ heldBy: 'node-a' });
    expect(await store.leases.holder(key)).toBe('node-a');
    expect(await store.leases.renew([before], LONG)).toMatchObject({ lost: new Set() });
    const lease = await own(store, key, 'node-a');
    expect(lease.epoch).toMatch(/^2:/);
    expect(await own(store, key, 'node-a')).toEqual(lease);
    expect(await store.leases.renew([before], LONG)).toMatchObject({ lost: new Set([key]) });
  });

  it('that was given back does not give its epoch to another process', async () => {
    const key = newKey();
    await acquireBefore(key, 'node-a');
    await store.leases.release({ key, epoch: '1:nonce' as Epoch });
    expect((await own(store, key, 'node-a')).epoch).toMatch(/^2:/);
  });
});

describe('a lease of this release', () => {
  it('is respected by the one before, which goes on with its counter', async () => {
    const lease = await own(store);
    expect(await acquireBefore(lease.key, 'node-b')).toEqual([0, 'node-a']);
    await store.leases.release(lease);
    expect(await acquireBefore(lease.key, 'node-b')).toEqual([1, '2:nonce']);
    expect(await store.leases.renew([lease], LONG)).toMatchObject({ lost: new Set([lease.key]) });
    expect(await store.leases.acquire(lease.key, holderOf('node-a'), LONG)).toEqual({ heldBy: 'node-b' });
  });

  it('is given back by the one before where an instance returns to it', async () => {
    const lease = await own(store);
    expect(await acquireBefore(lease.key, 'node-a')).toEqual([1, lease.epoch]);
  });
});

describe('an exchange of the release before', () => {
  it('has no reason code, and inherits none of one that the release before forgot', async () => {
    const lease = await own(store);
    const exchanges = keys.of(lease.key, 'exchanges');
    await server.admin.hset(exchanges, { '5': '1 1 release', '5:packet': 'p', order: 1 });
    expect(await store.exchanges.load(lease, 1)).toMatchObject([{ packetId: 5, stage: 'release', reasonCode: 0 }]);
    await store.exchanges.begin(lease, 1, [{ packetId: 6, packet: Buffer.from('p') }]);
    await store.exchanges.release(lease, 1, [{ packetId: 6, reasonCode: 0x10 }]);
    // What it reads is as it was; and how it forgets, and begins anew.
    expect(await server.admin.hget(exchanges, '6')).toBe('1 2 release');
    await server.admin.hdel(exchanges, '6', '6:packet', '6:item');
    await server.admin.hset(exchanges, { '6': '1 3 release', '6:packet': 'p', order: 3 });
    const codes = (await store.exchanges.load(lease, 1)).map(({ packetId, reasonCode }) => [packetId, reasonCode]);
    expect(codes).toEqual([
      [5, 0],
      [6, 0],
    ]);
  });
});

describe('a store of the release before, which has no schedule', () => {
  it('gets one soon after it was opened', async () => {
    const records = Array.from({ length: 20 }, () => newRecord());
    for (const record of records) await store.connections.create(record);
    const mine = records.map(({ key }) => key);
    expect(await takeAll(store, mine)).toEqual([]);
    const opened = await openRedisStore({ url: server.url, prefix: PREFIX, nodeId: 'node-b' });
    const found = new Set<string>();
    await until(
      async () => {
        for (const key of await takeAll(opened, mine)) found.add(key);
        return found.size === mine.length;
      },
      { what: 'all are due' },
    );
    await opened.close();
  });
});
