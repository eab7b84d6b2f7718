import { BROKER_SCHEMES, type BrokerScheme, isBrokerScheme } from '../mqtt/broker-schemes.ts';

const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/;
const PATTERN = /^([a-z]+):\/\/([a-z0-9._*-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}|\*))?$/;

/** A pattern of URLs, taken apart: `*` stands for any run of characters of the host, dots included, or for any port. */
export interface UrlPattern {
  readonly scheme: BrokerScheme;
  /** Pieces between the wildcards. One piece: the host itself. */
  readonly host: readonly string[];
  /** Null: any. */
  readonly port: number | null;
}

export type UrlPatterns = readonly (UrlPattern | '*')[];

/** Reads `mqtts://*.example.com:8883`, `ws://127.0.0.1:*` or `*`. Throws an `Error` that says what is wrong. */
export function parseUrlPattern(text: string): UrlPattern | '*' {
  if (text === '*') return '*';
  const [, name = '', host = '', port] = PATTERN.exec(text.toLowerCase()) ?? [];
  if (!isBrokerScheme(name)) {
    throw new Error(`"${text}" is not a pattern such as mqtts://*.example.com:8883, ws://127.0.0.1:* or *`);
  }
  if (Number(port) > 65_535) throw new Error(`"${text}" has a port over 65535`);
  return {
    scheme: name,
    host: host.split('*'),
    port: port === undefined ? BROKER_SCHEMES[name].port : port === '*' ? null : Number(port),
  };
}

/**
 * Whether one of the patterns allows a caller to use this broker URL. Compares parsed parts only, never the text, so
 * that user information, paths or fragments cannot pass for a host. A host with unusual characters is never allowed by
 * a pattern that names one.
 */
export function isUrlAllowed(patterns: UrlPatterns, url: string): boolean {
  const parsed = URL.parse(url);
  const scheme = parsed?.protocol.slice(0, -1) ?? '';
  if (parsed === null || !isBrokerScheme(scheme) || parsed.hostname === '') return false;
  if (patterns.includes('*')) return true;
  const host = parsed.hostname.toLowerCase();
  if (!HOST.test(host)) return false;
  const port = parsed.port === '' ? BROKER_SCHEMES[scheme].port : Number(parsed.port);
  return patterns.some(
    (pattern) =>
      pattern !== '*' &&
      isSameTransport(pattern.scheme, scheme) &&
      (pattern.port === null || pattern.port === port) &&
      matchesPieces(host, pattern.host),
  );
}

/** `tcp` is another name of `mqtt`, and `ssl` and `tls` of `mqtts`. */
function isSameTransport(one: BrokerScheme, other: BrokerScheme): boolean {
  const [first, second] = [BROKER_SCHEMES[one], BROKER_SCHEMES[other]];
  return first.transport === second.transport && first.encrypted === second.encrypted;
}

/** Matches a glob: its first piece begins the text, its last one ends it, the others follow each other in between. */
function matchesPieces(text: string, pieces: readonly string[]): boolean {
  const first = pieces[0] ?? '';
  if (pieces.length === 1) return text === first;
  const last = pieces[pieces.length - 1] ?? '';
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const at = text.indexOf(piece, from);
    if (at === -1 || at + piece.length > end) return false;
    from = at + piece.length;
  }
  return true;
}
