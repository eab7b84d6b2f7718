import { BROKER_SCHEMES, type BrokerScheme, isBrokerScheme } from '../mqtt/broker-schemes.ts';

export interface BrokerUrl {
  readonly url: URL;
  readonly scheme: BrokerScheme;
  /** From "/"; `''` where the URL has none. */
  readonly path: string;
}

/** Why a text is no broker URL: whole sentences, one for each fault. */
export interface UnreadableUrl {
  readonly reasons: readonly string[];
}

/**
 * Reads a caller's broker URL. Nothing but scheme, host, port and (for WebSocket) path may be in it, and the host has
 * to be written as it will be resolved, so that what is checked is what is used.
 */
export function readBrokerUrl(text: string): BrokerUrl | UnreadableUrl {
  const url = URL.parse(text);
  if (url === null || SILENTLY_CHANGED.test(text)) return { reasons: [whyNoUrl(text)] };
  const scheme = url.protocol.slice(0, -1);
  if (!isBrokerScheme(scheme)) {
    return { reasons: [`"${scheme}" is not a transport for MQTT: use ${Object.keys(BROKER_SCHEMES).join(', ')}.`] };
  }
  const path = url.pathname === '/' ? '' : url.pathname;
  const reasons = [...surplusParts(url, text, scheme, path), ...unusualHost(url.hostname)];
  return reasons.length === 0 ? { url, scheme, path } : { reasons };
}

/** What the parser would drop, or take for something else, and say nothing. */
const SILENTLY_CHANGED = /[\s\p{Cc}\\]|^wss?:(?!\/\/[^/])/iu;

function whyNoUrl(text: string): string {
  if (/^[^/]*\/\/\[[^\]]*%/.test(text)) {
    return 'The address has a zone ("%…"), as link-local addresses have: those are never connected to.';
  }
  const withoutPort = text.replace(/:\d+(?=$|[/?#])/, '');
  if (withoutPort !== text && URL.canParse(withoutPort)) return 'A port is a number from 1 to 65535.';
  return 'This is not a URL such as mqtts://broker.example.com:8883.';
}

function surplusParts(url: URL, text: string, scheme: BrokerScheme, path: string): string[] {
  return [
    // Judged by the text, as below, because what is empty is gone once parsed.
    ...(/^[^/]*\/\/[^/?#]*@/.test(text)
      ? ['A broker URL has no user information: use `username` and `password`.']
      : []),
    ...(text.includes('?') ? ['A broker URL has no query.'] : []),
    ...(text.includes('#') ? ['A broker URL has no fragment.'] : []),
    ...(path !== '' && BROKER_SCHEMES[scheme].transport !== 'websocket'
      ? [`A path belongs to ws and wss; ${scheme} has none.`]
      : []),
    ...(url.port === '0' ? ['Port 0 is no broker’s: a port is a number from 1 to 65535.'] : []),
  ];
}

function unusualHost(host: string): string[] {
  if (host === '') return ['The URL names no host.'];
  // One way to write each name: TLS knows none with the dot, and one ClientID must not be two Connections. [RFC 6066 §3]
  if (host.endsWith('.')) return ['Write the host without the dot at its end.'];
  // WebSocket's schemes resolve like http's; for the others the parser takes a host as it stands.
  const resolved = URL.parse(`http://${host}`)?.hostname ?? '';
  if (!/^([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$/.test(resolved))
    return [`"${host}" is not the name or address of a host.`];
  return resolved === host.toLowerCase() ? [] : [`Write the host as it is resolved: "${resolved}".`];
}
