import { isLoopbackHost } from './config/broker-url.ts';

export interface Greeted {
  readonly host: string;
  readonly port: number;
  readonly tls: object | null;
  readonly apiKey: string | null;
  readonly devBroker: { readonly url: string } | null;
}

/** What the start prints: where the bridge is, and what to paste next. The lines work in this order. */
export function greeting({ host, port, tls, apiKey, devBroker }: Greeted): string {
  const name = isLoopbackHost(host) && !host.includes(':') ? host : 'localhost';
  const base = `${tls === null ? 'http' : 'https'}://${name}:${port}`;
  const curl = `curl -sS${tls === null ? '' : 'k'}${apiKey === null ? '' : ' -H "Authorization: Bearer $BRIDGE_API_KEY"'}`;
  const connection = '{"subscriptions":[{"filter":"demo/#","qos":1}]}';
  return `
MQTT HTTP Bridge on ${base}   reference: ${base}/docs
${devBroker === null ? '' : `Embedded MQTT broker for development (memory only) on ${devBroker.url}\n`}
Publish a retained message, read it back, and read the queue of a Connection that subscribes to it:

  ${curl} -X PUT ${base}/v1/topics/demo/hello -d 'Hello, MQTT'
  ${curl} ${base}/v1/topics/demo/hello
  ${curl} -X PUT ${base}/v1/connections/demo -H 'Content-Type: application/json' -d '${connection}' && ${curl} '${base}/v1/connections/demo/messages?wait=5'

`;
}
