/** A host as Node takes it (an IPv6 address without brackets) and its port. */
export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

interface Access {
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
}

/** Where the store is, as its URL says. */
export type RedisAddress = Access &
  (
    | { readonly kind: 'standalone'; readonly node: RedisNode; readonly database: number }
    | {
        readonly kind: 'sentinel';
        readonly sentinels: readonly RedisNode[];
        readonly name: string;
        readonly database: number;
      }
    | { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] }
  );

const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;

const SHAPE = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/;
const NODE = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/;

/**
 * Reads a store URL: `redis://host:6379/0`, `redis+sentinel://host1,host2:26379/name/0`,
 * `redis+cluster://host1,host2:6379`; `rediss` in place of `redis` for TLS. Ports, database and `user:password@`
 * (percent-encoded; for the Redis servers, not the Sentinels) are optional. Throws an Error that never repeats the URL,
 * since credentials may be in any part of a malformed one.
 */
export function parseRedisUrl(url: string): RedisAddress {
  const match = SHAPE.exec(url);
  if (match === null) throw new Error('The Redis URL is malformed; it should look like redis://host:6379');
  const [, scheme, topology, userinfo, hosts = '', path = ''] = match;
  const access: Access = { tls: scheme === 'rediss', ...credentials(userinfo) };
  const segments = path === '' ? [] : path.split('/');
  switch (topology) {
    case 'sentinel': {
      const [name = '', database, ...rest] = segments;
      if (name === '' || rest.length > 0) {
        throw new Error('The Redis URL must name the master after the Sentinels: redis+sentinel://host1,host2/name');
      }
      const sentinels = nodes(hosts, SENTINEL_PORT);
      return { ...access, kind: 'sentinel', sentinels, name: decode(name), database: databaseNumber(database) };
    }
    case 'cluster':
      if (segments.length > 0) throw new Error('The Redis URL of a Cluster has no path: a Cluster has one database');
      return { ...access, kind: 'cluster', nodes: nodes(hosts, REDIS_PORT) };
    default: {
      const [node, ...others] = nodes(hosts, REDIS_PORT);
      const [database, ...rest] = segments;
      if (node === undefined || others.length > 0) {
        throw new Error('The Redis URL names several hosts: use redis+sentinel:// or redis+cluster://');
      }
      if (rest.length > 0) throw new Error('The path of the Redis URL must be a database number');
      return { ...access, kind: 'standalone', node, database: databaseNumber(database) };
    }
  }
}

function credentials(userinfo: string | undefined): Pick<Access, 'username' | 'password'> {
  if (userinfo === undefined || userinfo === '') return {};
  const colon = userinfo.indexOf(':');
  if (colon === -1) throw new Error('The Redis URL has a user name without a password');
  const username = decode(userinfo.slice(0, colon));
  return { ...(username === '' ? {} : { username }), password: decode(userinfo.slice(colon + 1)) };
}

function nodes(hosts: string, defaultPort: number): RedisNode[] {
  return hosts.split(',').map((text) => {
    const match = NODE.exec(text);
    const host = match?.[1] ?? match?.[2];
    const port = Number(match?.[3] ?? defaultPort);
    if (host === undefined || port < 1 || port > 65_535) throw new Error('The Redis URL has a malformed host or port');
    return { host, port };
  });
}

function databaseNumber(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  if (!/^\d{1,5}$/.test(text)) throw new Error('The path of the Redis URL must end with a database number');
  return Number(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('The Redis URL has a malformed percent-encoding');
  }
}
