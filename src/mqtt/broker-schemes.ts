/** The URL schemes that name a broker: what runs under each, and the port that each means when it names none. */
export const BROKER_SCHEMES = {
  mqtt: { transport: 'tcp', encrypted: false, port: 1883 },
  tcp: { transport: 'tcp', encrypted: false, port: 1883 },
  mqtts: { transport: 'tcp', encrypted: true, port: 8883 },
  ssl: { transport: 'tcp', encrypted: true, port: 8883 },
  tls: { transport: 'tcp', encrypted: true, port: 8883 },
  ws: { transport: 'websocket', encrypted: false, port: 80 },
  wss: { transport: 'websocket', encrypted: true, port: 443 },
  quic: { transport: 'quic', encrypted: true, port: 14_567 },
} as const satisfies Record<string, { transport: 'tcp' | 'websocket' | 'quic'; encrypted: boolean; port: number }>;

export type BrokerScheme = keyof typeof BROKER_SCHEMES;

export function isBrokerScheme(text: string): text is BrokerScheme {
  return Object.hasOwn(BROKER_SCHEMES, text);
}

/** Whether a host of a URL is this machine's own: what is sent to it in the clear crosses no network. [RFC 6761 §6.3] */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name) ||
    /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(name)
  );
}

/** Whether a broker at this URL is reached without encryption, over a network. */
export function isPlaintextOverNetwork(url: string): boolean {
  const parsed = URL.parse(url);
  const scheme = parsed?.protocol.slice(0, -1) ?? '';
  return parsed !== null && isBrokerScheme(scheme) && !BROKER_SCHEMES[scheme].encrypted && !isLoopback(parsed.hostname);
}
