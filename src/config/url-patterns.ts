/** The schemes of a broker URL, their aliases resolved, and the port that each means when none is written. */
const SCHEMES: Readonly<Record<string, { scheme: string; port: number }>> = {
  mqtt: { scheme: 'mqtt', port: 1883 },
  tcp: { scheme: 'mqtt', port: 1883 },
  mqtts: { scheme: 'mqtts', port: 8883 },
  ssl: { scheme: 'mqtts', port: 8883 },
  tls: { scheme: 'mqtts', port: 8883 },
  ws: { scheme: 'ws', port: 80 },
  wss: { scheme: 'wss', port: 443 },
  quic: { scheme: 'quic', port: 14_567 },
};

const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/;
const PATTERN = /^([a-z]+):\/\/([a-z0-9._*-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}|\*))?$/;

/** A pattern of URLs, taken apart: `*` stands for any run of characters of the host, dots included, or for any port. */
export interface UrlPattern {
  readonly scheme: string;
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
  const known = SCHEMES[name];
  if (known === undefined) {
    throw new Error(`"${text}" is not a pattern such as mqtts://*.example.com:8883, ws://127.0.0.1:* or *`);
  }
  if (Number(port) > 65_535) throw new Error(`"${text}" has a port over 65535`);
  return {
    scheme: known.scheme,
    host: host.split('*'),
    port: port === undefined ? known.port : port === '*' ? null : Number(port),
  };
}

/**
 * Whether one of the patterns allows a caller to use this broker URL. Compares parsed parts only, never the text, so
 * that user information, paths or fragments cannot pass for a host. A host with unusual characters is never allowed by
 * a pattern that names one.
 */
export function isUrlAllowed(patterns: UrlPatterns, url: string): boolean {
  const parsed = URL.parse(url);
  const known = parsed === null ? undefined : SCHEMES[parsed.protocol.slice(0, -1)];
  if (parsed === null || known === undefined || parsed.hostname === '') return false;
  if (patterns.includes('*')) return true;
  const host = parsed.hostname.toLowerCase();
  if (!HOST.test(host)) return false;
  const port = parsed.port === '' ? known.port : Number(parsed.port);
  return patterns.some(
    (pattern) =>
      pattern !== '*' &&
      pattern.scheme === known.scheme &&
      (pattern.port === null || pattern.port === port) &&
      matchesPieces(host, pattern.host),
  );
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
