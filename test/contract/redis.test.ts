import { afterAll, describe, expect, it } from 'vitest';
import { RedisClient } from '../../src/store/redis/client.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { SCRIPT_NAMES } from '../../src/store/redis/scripts.ts';
import { startRedis } from '../helpers/redis.ts';
import { describeStore } from './store-suite.ts';

const server = await startRedis();
afterAll(() => server.stop());

/** The hash tags of each call of a script, joined, by its name. */
const tags = new Map<string, Set<string>>();
recordTags();

const open = () => openRedisStore({ url: server.url, prefix: 'contract', nodeId: 'node-a' });
describeStore('the Redis store, on one server', { open, openAnother: open, reopen: open });

describe('every script', () => {
  it.each(SCRIPT_NAMES)('was called with names of one hash tag: %s', (script) => {
    const called = [...(tags.get(script) ?? [])];
    expect(called).not.toEqual([]);
    expect(called.filter((ofCall) => !/^\{[^{}]+\}$/.test(ofCall))).toEqual([]);
  });
});

function recordTags(): void {
  const record = (script: string, keys: readonly string[]) => {
    const ofCall = new Set(keys.map((name) => /^contract:v1:(\{[^{}]+\}):[a-z-]+$/.exec(name)?.[1] ?? name));
    tags.set(script, (tags.get(script) ?? new Set()).add([...ofCall].join(' ')));
  };
  const { run, runEach } = RedisClient.prototype;
  RedisClient.prototype.run = function (script, keys, args) {
    record(script, keys);
    return run.call(this, script, keys, args);
  };
  RedisClient.prototype.runEach = function (script, calls) {
    for (const { keys } of calls) record(script, keys);
    return runEach.call(this, script, calls);
  };
}
