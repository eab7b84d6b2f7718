import { isIP } from 'node:net';

export const BROKER_SCHEMES = ['mqtt', 'tcp', 'mqtts', 'ssl', 'tls', 'ws', 'wss'] as const;

const ENCRYPTED = new Set(['mqtts', 'ssl', 'tls', 'wss']);
const WEBSOCKET = new Set(['ws', 'wss']);

/** A broker's address with the credentials split off: `url` can be shown, the rest cannot. */
export interface BrokerUrl {
  url: string;
  username?: string;
  password?: string;
}

/**
 * Reads an operator's broker URL. Throws an `Error` whose message completes "MQTT_URL …" and never repeats the URL,
 * because it may hold a password.
 */
export function parseBrokerUrl(text: string): BrokerUrl {
  const parsed = URL.parse(text);
  if (parsed === null) throw new Error('is not a URL such as mqtt://broker.example.com:1883');
  const scheme = parsed.protocol.slice(0, -1);
  if (scheme === 'quic') throw new Error('asks for quic, which is not available in this version');
  if (!BROKER_SCHEMES.some((known) => known === scheme)) {
    throw new Error(`has a scheme that is not one of ${BROKER_SCHEMES.join(', ')}`);
  }
  if (parsed.hostname === '') throw new Error('names no host');
  if (parsed.search !== '' || parsed.hash !== '') throw new Error('may not have a query or a fragment');
  const path = parsed.pathname === '/' ? '' : parsed.pathname;
  if (path !== '' && !WEBSOCKET.has(scheme)) throw new Error('may have a path only with ws and wss');
  const { username, password } = credentials(parsed);
  return {
    url: `${scheme}://${parsed.host}${path}`,
    ...(username === '' && password === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
  };
}

function credentials(parsed: URL): { username: string; password: string } {
  try {
    return { username: decodeURIComponent(parsed.username), password: decodeURIComponent(parsed.password) };
  } catch {
    throw new Error('has credentials whose percent-encoding is broken');
  }
}

/** Whether a broker at this URL is reached without encryption, over a network. */
export function isPlaintextOverNetwork(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && !ENCRYPTED.has(parsed.protocol.slice(0, -1)) && !isLoopback(parsed.hostname);
}

/** Whether a host name or address (IPv6 with or without brackets) is this machine's own. */
export function isLoopback(host: string): boolean {
  const bare = (host.startsWith('[') ? host.slice(1, -1) : host).toLowerCase();
  if (bare === 'localhost' || bare.endsWith('.localhost') || bare === '::1') return true;
  return isIP(bare) === 4 && bare.startsWith('127.');
}
