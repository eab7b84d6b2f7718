/** (b) What a caller does who keeps nothing between requests: connect, publish, disconnect. */
import { connectAsync } from 'mqtt';
import { servePublish } from './publish-app.ts';

const url = process.env.MQTT_URL ?? '';

await servePublish(async ({ topic, payload = '', qos, retain }) => {
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 });
  const packet = await client.publishAsync(topic, String(payload), { qos, retain });
  await client.endAsync();
  return { qos, reasonCode: reasonCodeOf(packet) };
});

function reasonCodeOf(packet: unknown): unknown {
  return typeof packet === 'object' && packet !== null && 'reasonCode' in packet ? packet.reasonCode : 0;
}
