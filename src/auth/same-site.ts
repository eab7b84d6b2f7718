import { isIP } from 'node:net';

export interface SameSiteRequest {
  /** The `Host` header. */
  readonly host: string | undefined;
  /** The `Origin` header; browsers send it with every request that is not a plain same-site GET. */
  readonly origin: string | undefined;
  /** The port that the request came in at. */
  readonly port: number;
}

/**
 * What is wrong with a request to a bridge that knows no callers, or null. A web page of another site must not reach
 * it: neither under a name of its own that resolves to this machine (DNS rebinding, seen in Host) nor by a cross-site
 * request (seen in Origin).
 */
export function siteFault({ host, origin, port }: SameSiteRequest, listenHost: string): string | null {
  const asked = parseHost(host);
  if (asked === null) return 'The Host header is missing or malformed.';
  if (!isOwnName(asked.name, listenHost) || (asked.port !== null && asked.port !== port)) {
    return `Without BRIDGE_API_KEY the bridge answers only to this machine's own names, such as localhost:${port}.`;
  }
  if (origin === undefined) return null;
  const site = URL.parse(origin);
  if (site !== null && site.host === URL.parse(`${site.protocol}//${host}`)?.host) return null;
  return 'Without BRIDGE_API_KEY the bridge refuses requests that web pages of other sites make.';
}

function parseHost(host: string | undefined): { name: string; port: number | null } | null {
  const [, name, port] = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(host ?? '') ?? [];
  if (name === undefined) return null;
  return { name: name.replace(/^\[|\]$/g, '').toLowerCase(), port: port === undefined ? null : Number(port) };
}

function isOwnName(name: string, listenHost: string): boolean {
  if (name === 'localhost' || name === '::1' || name === listenHost.toLowerCase()) return true;
  return isIP(name) === 4 && name.startsWith('127.');
}
