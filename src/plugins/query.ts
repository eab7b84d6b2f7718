import { parse } from 'node:querystring';

/** A `+` that is a whole topic level, or a whole value. */
const WILDCARD = /(?<==|\/|%2f)\+(?=&|$|\/|%2f)/gi;

/**
 * Parses a query. A `+` means a space, as forms write it, except where it stands for a whole topic level: there it is
 * MQTT's single-level wildcard, which nobody percent-encodes by hand, while a level of one space is not seen in practice.
 */
export function parseQuery(query: string): Record<string, unknown> {
  return parse(query.includes('+') ? query.replace(WILDCARD, '%2B') : query);
}
