import { BROKER_SCHEMES, type BrokerScheme, isBrokerScheme } from '../../mqtt/broker-schemes.ts';

/** How a broker is reached; aliases are resolved. */
export type Scheme = 'mqtt' | 'mqtts' | 'ws' | 'wss' | 'quic';

/** One broker address, in parts. Never handed to a library as a URL: MQTT.js lets a query override options. */
export interface BrokerAddress {
  scheme: Scheme;
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  host: string;
  port: number;
  /** For WebSocket only. */
  path: string | null;
}

/** What runs under each spelling of a scheme. */
function schemeOf(spelling: BrokerScheme): Scheme {
  const { transport, encrypted } = BROKER_SCHEMES[spelling];
  if (transport === 'quic') return 'quic';
  if (transport === 'websocket') return encrypted ? 'wss' : 'ws';
  return encrypted ? 'mqtts' : 'mqtt';
}

/** Takes a broker URL apart; user information, query and fragment are not looked at. Throws `TypeError` on nonsense. */
export function parseAddress(text: string): BrokerAddress {
  const url = new URL(text);
  const spelling = url.protocol.slice(0, -1);
  if (!isBrokerScheme(spelling)) throw new TypeError(`${url.protocol}// is not a transport for MQTT`);
  if (url.hostname === '') throw new TypeError('the broker URL names no host');
  const { transport, port } = BROKER_SCHEMES[spelling];
  return {
    scheme: schemeOf(spelling),
    host: url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase(),
    port: url.port === '' ? port : Number(url.port),
    path: transport === 'websocket' && url.pathname !== '' && url.pathname !== '/' ? url.pathname : null,
  };
}

/** The same text for the same address, whatever alias or default port it was written with. */
export function formatAddress({ scheme, host, port, path }: BrokerAddress): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}${path ?? ''}`;
}
