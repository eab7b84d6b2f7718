import { inspect } from 'node:util';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Key, type Store, StoreUnavailable } from '../../src/bridge/ports.ts';
import { openRedisStore, type RedisStoreOptions } from '../../src/store/redis/index.ts';
import { startForwarder } from '../helpers/forwarder.ts';
import { failureOf, succeeds } from '../helpers/outcome.ts';
import { freePort } from '../helpers/ports.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';
import { listening } from './store/bus.ts';
import { drain, entries, filled, holderOf, newMessage, newRecord, numbered, own, ROOMY } from './store/fixtures.ts';

/** Milliseconds within which every call must have ended, whatever happens to Redis. */
const BOUND = 6_000;

const shared = await startRedis();
afterAll(() => shared.stop());

async function open(options: Partial<RedisStoreOptions> = {}): Promise<Store> {
  const store = await openRedisStore({ url: shared.url, prefix: 'outages', nodeId: 'node-a', ...options });
  onTestFinished(() => store.close());
  return store;
}

async function startOwn(...options: Parameters<typeof startRedis>): Promise<RedisServer> {
  const server = await startRedis(...options);
  onTestFinished(() => server.stop());
  return server;
}

/** One call of each kind. */
function calls(store: Store, lease: Awaited<ReturnType<typeof own>>): Record<string, () => Promise<unknown>> {
  const { key } = lease;
  return {
    ping: () => store.ping(),
    create: () => store.connections.create(newRecord()),
    byId: () => store.connections.byId('x'),
    list: () => store.connections.list(null, 10),
    remove: () => store.connections.remove('gone' as Key),
    acquire: () => store.leases.acquire(key, holderOf('node-a'), 60_000),
    renew: () => store.leases.renew([lease], 60_000),
    loadSession: () => store.inbound.loadSession(key),
    append: () => store.inbound.append(lease, 1, entries(['x']), ROOMY),
    read: () => store.queues.read(key, null, 10),
    removeThrough: () => store.queues.removeThrough(key, '1-0' as never),
    begin: () => store.exchanges.begin(lease, 1, [{ packetId: 1, packet: Buffer.from('x') }]),
    announce: () => store.members.announce({ nodeId: 'node-a', process: '1', load: 0, open: true }, 60_000),
    listen: () => store.bus.listen('node-a', () => {}),
    send: () => store.bus.send('node-a', Buffer.from('x')),
    set: () => store.schedule.set([{ key, inMs: 0 }]),
    cancel: () => store.schedule.cancel([key]),
    take: () => store.schedule.take(10, 1_000),
  };
}

async function expectUnavailable(store: Store, lease: Awaited<ReturnType<typeof own>>): Promise<void> {
  const attempts = Object.entries(calls(store, lease)).map(async ([name, call]) => {
    const { error, ms } = await failureOf(call());
    expect(error, name).toBeInstanceOf(StoreUnavailable);
    expect(ms, name).toBeLessThan(BOUND);
  });
  await Promise.all(attempts);
}

/** Frames may be lost until it is back; then none is. */
async function untilHeard(sender: Store, nodeId: string, frames: readonly Buffer[]): Promise<void> {
  await until(async () => sender.bus.send(nodeId, Buffer.from('again')).catch(() => false), {
    what: 'it is heard again',
  });
  const texts = numbered(10, 'after');
  for (const text of texts) expect(await sender.bus.send(nodeId, Buffer.from(text))).toBe(true);
  await until(() => frames.at(-1)?.toString() === texts.at(-1), { what: 'the last frame arrives' });
  expect(frames.slice(-10).map(String)).toEqual(texts);
}

async function untilAvailable(store: Store): Promise<void> {
  await until(() => succeeds(store.ping()), { what: 'the store is available again' });
}

describe('a Redis that is frozen', () => {
  it('makes every call fail in bounded time, and the store recovers by itself', async () => {
    const server = await startOwn();
    const store = await open({ url: server.url });
    const lease = await filled(store, ['before']);
    const { nodeId, frames } = await listening(store);
    server.signal('SIGSTOP');
    await expectUnavailable(store, lease);
    // Past the point where the silent socket was given up, too.
    await expectUnavailable(store, lease);
    server.signal('SIGCONT');
    await untilAvailable(store);
    await store.inbound.append(lease, 1, entries(['after']), ROOMY);
    const texts = await drain(store, lease.key);
    expect(texts[0]).toBe('before');
    expect(texts.at(-1)).toBe('after');
    await untilHeard(store, nodeId, frames);
  });
});

describe('a Redis that is killed', () => {
  it('has all that was resolved when it is back, with appendfsync always', async () => {
    const server = await startOwn({ appendfsync: 'always' });
    const store = await open({ url: server.url });
    const lease = await own(store);
    const resolved: string[] = [];
    const appendUntilKilled = async () => {
      for (let round = 0; ; round += 1) {
        const texts = numbered(20, `round-${round}-`);
        await store.inbound.append(lease, 1, entries(texts, 1), ROOMY);
        resolved.push(...texts);
        const releases = texts.map((_, index) => ({ kind: 'release', packetId: 1 + index }) as const);
        await store.inbound.append(lease, 1, releases, ROOMY);
        if (round === 50) void server.kill();
      }
    };
    await expect(appendUntilKilled()).rejects.toThrow(StoreUnavailable);
    expect(resolved.length).toBeGreaterThan(1_000);
    await expectUnavailable(store, lease);

    await server.start();
    await untilAvailable(store);
    const texts = await drain(store, lease.key);
    expect(texts.slice(0, resolved.length)).toEqual(resolved);
    // What was under way may be there too, whole.
    expect([0, 20]).toContain(texts.length - resolved.length);
    expect((await store.queues.stats(lease.key)).depth).toBe(texts.length);
    expect(await store.leases.renew([lease], 60_000)).toMatchObject({ lost: new Set() });
    await store.inbound.append(lease, 1, entries(['after']), ROOMY);
    expect((await drain(store, lease.key)).at(-1)).toBe('after');
  });

  it('is a failure to open, at once and without the credentials', async () => {
    const port = await freePort();
    const url = `redis://someone:hunter2@127.0.0.1:${port}`;
    const { error, ms } = await failureOf(openRedisStore({ url, prefix: 'x', nodeId: 'n' }));
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(String(error)).toContain('ECONNREFUSED');
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2');
    expect(ms).toBeLessThan(BOUND);
  });
});

describe('a password', () => {
  it('is used, and never told when it is wrong', async () => {
    const server = await startOwn({ password: 'correct horse/battery@staple' });
    await (await open({ url: server.url })).ping();
    const wrong = `redis://:hunter2@127.0.0.1:${server.port}`;
    for (const url of [wrong, wrong.replace(':hunter2', 'user:hunter2'), wrong.replace('redis:', 'redis+cluster:')]) {
      const { error, ms } = await failureOf(openRedisStore({ url, prefix: 'x', nodeId: 'n' }));
      expect(error, url).toBeInstanceOf(StoreUnavailable);
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2');
      expect(ms).toBeLessThan(10_000);
    }
  });
});

describe('scripts that the server forgot', () => {
  it('are sent again', async () => {
    const store = await open();
    const lease = await filled(store, ['1']);
    await shared.admin.call('SCRIPT', 'FLUSH');
    await Promise.all([
      store.inbound.append(lease, 1, entries(['2']), ROOMY),
      store.inbound.append(lease, 1, entries(['3']), ROOMY),
      store.leases.renew([lease], 60_000),
    ]);
    expect(await drain(store, lease.key)).toEqual(['1', '2', '3']);
  });

  it('are sent again also by a store that is being closed', async () => {
    const [store, reader] = [await open(), await open()];
    const [one, other] = [await filled(store, []), await filled(store, [])];
    await shared.admin.call('SCRIPT', 'FLUSH');
    const underWay = [store.inbound.append(one, 1, entries(['1']), ROOMY), store.leases.renew([one, other], 60_000)];
    await store.close();
    await expect(Promise.all(underWay)).resolves.toMatchObject([{ stored: 1 }, { lost: new Set() }]);
    expect(await drain(reader, one.key)).toEqual(['1']);
  });
});

describe('a Redis whose memory is full', () => {
  it('stores nothing more, keeps what it has, and goes on once messages were removed', async () => {
    const server = await startOwn({ arguments: ['--maxmemory', '20mb', '--maxmemory-policy', 'noeviction'] });
    const store = await open({ url: server.url });
    const lease = await own(store);
    const group = numbered(8).map(
      (text) => ({ kind: 'message', message: newMessage(text.padEnd(250_000, ' ')) }) as const,
    );
    let stored = 0;
    const fill = async () => {
      for (;;) stored += (await store.inbound.append(lease, 1, group, ROOMY)).stored;
    };
    await expect(fill()).rejects.toThrow(StoreUnavailable);
    expect(stored).toBeGreaterThan(8);
    expect((await store.queues.stats(lease.key)).depth).toBe(stored);
    expect(await store.leases.renew([lease], 60_000)).toMatchObject({ lost: new Set() });

    const { messages } = await store.queues.read(lease.key, null, 1_000);
    const last = messages.at(-1);
    if (last === undefined) throw new Error('nothing to read');
    expect(await store.queues.removeThrough(lease.key, last.position)).toBe(messages.length);
    await until(() => succeeds(store.inbound.append(lease, 1, entries(['after']), ROOMY)), {
      what: 'there is room again',
    });
    expect((await store.queues.stats(lease.key)).depth).toBe(stored - messages.length + 1);
  });
});

describe('the connection that listens for wake-ups', () => {
  it('is made again when it is lost, and its watchers are called since they may have missed some', async () => {
    const store = await open();
    const lease = await filled(store, []);
    let calls = 0;
    onTestFinished(store.queues.watch(lease.key, () => calls++));
    await store.inbound.append(lease, 1, entries(['1']), ROOMY);
    await until(() => calls > 0, { what: 'the watcher is woken' });
    const before = calls;
    expect(await shared.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBeGreaterThan(0);
    await until(() => calls > before, { what: 'the watcher is called after the loss' });
    const after = calls;
    await store.inbound.append(lease, 1, entries(['2']), ROOMY);
    await until(() => calls > after, { what: 'the watcher is woken again' });
  });

  it('calls those who watch a queue, and not those who watch another', async () => {
    const store = await open();
    const [quiet, busy] = [await filled(store, ['1']), await filled(store, [])];
    const calls = { quiet: 0, busy: 0 };
    onTestFinished(store.queues.watch(quiet.key, () => calls.quiet++));
    await until(() => calls.quiet === 1, { what: 'the first subscription stands' });
    onTestFinished(store.queues.watch(busy.key, () => calls.busy++));
    for (let round = 1; round <= 3; round += 1) {
      const seen = calls.busy;
      await store.inbound.append(busy, 1, entries(['x']), ROOMY);
      await until(() => calls.busy > seen, { what: 'the busy one is woken' });
    }
    expect(calls.quiet).toBe(1);
  });
});

describe('the bus', () => {
  it('comes back after its connection was lost', async () => {
    const [store, other] = [await open(), await open({ nodeId: 'node-b' })];
    const { nodeId, frames } = await listening(store);
    expect(await shared.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBeGreaterThan(0);
    await untilHeard(other, nodeId, frames);
  });

  it('comes back after the server was restarted', async () => {
    const server = await startOwn();
    const [store, other] = [await open({ url: server.url }), await open({ url: server.url })];
    const { nodeId, frames, isUp } = await listening(store);
    expect(isUp()).toBe(true);
    await server.kill();
    await expect(other.bus.send(nodeId, Buffer.from('x'))).rejects.toThrow(StoreUnavailable);
    await until(() => !isUp(), { what: 'it says that nothing would arrive' });
    await server.start();
    await untilAvailable(other);
    await untilHeard(other, nodeId, frames);
    expect(isUp()).toBe(true);
  });

  it('goes to the new master when the one that it listens at became a replica and kept its listeners', async () => {
    const [first, second] = [await startOwn(), await startOwn()];
    const proxy = await startForwarder(first.port);
    onTestFinished(() => proxy.stop());
    const url = `redis://127.0.0.1:${proxy.port}`;
    const store = await open({ url });
    const { nodeId, frames } = await listening(store);
    // The address leads to another server for who connects from now on: what a fail-over behind one name looks like.
    proxy.forwardTo(second.port);
    const other = await open({ url });
    await first.admin.replicaof('127.0.0.1', second.port);
    await until(async () => succeeds(store.schedule.set([{ key: 'k' as Key, inMs: 0 }])), { what: 'it writes again' });
    await untilHeard(other, nodeId, frames);
  });

  it('listens to nobody after the store was closed', async () => {
    const [store, other] = [await open(), await open()];
    const { nodeId, frames } = await listening(store);
    await store.close();
    await until(async () => !(await other.bus.send(nodeId, Buffer.from('x'))), { what: 'nobody listens' });
    expect(frames).toEqual([]);
    await expect(store.bus.listen(nodeId, () => {})).rejects.toThrow(StoreUnavailable);
  });
});

describe('a pipeline', () => {
  it('of scripts that the server forgot sends them again', async () => {
    const store = await open();
    const leases = await Promise.all(numbered(700).map(() => own(store)));
    await shared.admin.call('SCRIPT', 'FLUSH');
    expect(await store.leases.renew(leases, 600_000)).toMatchObject({ lost: new Set() });
    expect(await store.leases.renew(leases, 600_000)).toMatchObject({ lost: new Set() });
  });
});

describe('the settings of a server', () => {
  async function findings(server: RedisServer): Promise<string[]> {
    const warnings: string[] = [];
    await open({ url: server.url, log: { info() {}, warn: (_details, text) => warnings.push(text) } });
    return warnings;
  }

  it('are not remarked on when nothing can be lost', async () => {
    expect(await findings(await startOwn({ appendfsync: 'always' }))).toEqual([]);
  });

  it('are named with what they mean', async () => {
    const server = await startOwn({ arguments: ['--maxmemory-policy', 'allkeys-lru'] });
    expect(await findings(server)).toEqual([
      expect.stringMatching(/appendfsync everysec: .*last second/),
      expect.stringMatching(/maxmemory-policy allkeys-lru: .*noeviction/),
    ]);
    await server.admin.config('SET', 'appendonly', 'no');
    expect((await findings(server))[0]).toMatch(/appendonly no: /);
  });

  it('are left to the operator where CONFIG is forbidden', async () => {
    const server = await startOwn({ arguments: ['--rename-command', 'CONFIG', ''] });
    expect(await findings(server)).toEqual([expect.stringMatching(/does not tell its settings .*appendonly yes/)]);
  });
});
