import { BROKER_SCHEMES, isBrokerScheme, isLoopback } from '../mqtt/broker-schemes.ts';

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
  if (!isBrokerScheme(scheme)) {
    throw new Error(`has a scheme that is not one of ${Object.keys(BROKER_SCHEMES).join(', ')}`);
  }
  if (parsed.hostname === '') throw new Error('names no host');
  if (parsed.search !== '' || parsed.hash !== '') throw new Error('may not have a query or a fragment');
  const path = parsed.pathname === '/' ? '' : parsed.pathname;
  if (path !== '' && BROKER_SCHEMES[scheme].transport !== 'websocket')
    throw new Error('may have a path only with ws and wss');
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

/** Whether a listen address is reached from this machine only. IPv6 without brackets. */
export function isLoopbackHost(host: string): boolean {
  return isLoopback(host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);
}
