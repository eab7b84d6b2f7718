import { describe, expect, it } from 'vitest';
import { parseRedisUrl } from '../../../src/store/redis/redis-url.ts';

describe('parseRedisUrl', () => {
  it.each([
    ['redis://localhost', { kind: 'standalone', node: { host: 'localhost', port: 6379 }, database: 0, tls: false }],
    [
      'redis://127.0.0.1:7000/',
      { kind: 'standalone', node: { host: '127.0.0.1', port: 7000 }, database: 0, tls: false },
    ],
    [
      'rediss://r.example:6380/3',
      { kind: 'standalone', node: { host: 'r.example', port: 6380 }, database: 3, tls: true },
    ],
    ['redis://[::1]:7000', { kind: 'standalone', node: { host: '::1', port: 7000 }, database: 0, tls: false }],
    [
      'redis://user:p%40ss%2Fw@h',
      {
        kind: 'standalone',
        node: { host: 'h', port: 6379 },
        database: 0,
        tls: false,
        username: 'user',
        password: 'p@ss/w',
      },
    ],
    [
      'redis://:a:b@h',
      { kind: 'standalone', node: { host: 'h', port: 6379 }, database: 0, tls: false, password: 'a:b' },
    ],
    [
      'redis+sentinel://s1,s2:5000/mymaster',
      {
        kind: 'sentinel',
        sentinels: [
          { host: 's1', port: 26_379 },
          { host: 's2', port: 5000 },
        ],
        name: 'mymaster',
        database: 0,
        tls: false,
      },
    ],
    [
      'rediss+sentinel://u:p@s1/main%2Fone/2',
      {
        kind: 'sentinel',
        sentinels: [{ host: 's1', port: 26_379 }],
        name: 'main/one',
        database: 2,
        tls: true,
        username: 'u',
        password: 'p',
      },
    ],
    [
      'redis+cluster://h1,[fe80::1]:7001,h3:7002/',
      {
        kind: 'cluster',
        nodes: [
          { host: 'h1', port: 6379 },
          { host: 'fe80::1', port: 7001 },
          { host: 'h3', port: 7002 },
        ],
        tls: false,
      },
    ],
  ])('reads %s', (url, expected) => {
    expect(parseRedisUrl(url)).toEqual(expected);
  });

  it.each([
    ['', /malformed/],
    ['http://h', /malformed/],
    ['redis://', /malformed/],
    ['redis://h?x=1', /malformed/],
    ['redis+other://h', /malformed/],
    ['redis://h1,h2', /several hosts/],
    ['redis://h:0', /host or port/],
    ['redis://h:65536', /host or port/],
    ['redis://h:port', /host or port/],
    ['redis+cluster://h1,,h2', /host or port/],
    ['redis://h/x', /database number/],
    ['redis://h/1/2', /database number/],
    ['redis+cluster://h/0', /no path/],
    ['redis+sentinel://h', /name the master/],
    ['redis+sentinel://h/name/0/x', /name the master/],
    ['redis://user@h', /without a password/],
    ['redis://:%zz@h', /percent-encoding/],
  ])('refuses %s', (url, reason) => {
    expect(() => parseRedisUrl(url)).toThrow(reason);
  });

  it.each([
    'redis://user:hunter2@h:port',
    'redis://user:hunter2@h1,h2',
    'redis://user:hunter2@h/x',
    'redis://user:hunter2/@h',
    'redis+sentinel://user:hunter2@h',
    'redis+cluster://user:hunter2@h/1',
    'redis://hunter2@h',
    'nonsense hunter2',
  ])('never repeats credentials: %s', (url) => {
    const error = thrown(() => parseRedisUrl(url));
    expect(error).toBeInstanceOf(Error);
    expect(JSON.stringify([String(error), Object.entries(error as Error), (error as Error).cause])).not.toContain(
      'hunter2',
    );
  });
});

function thrown(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}
