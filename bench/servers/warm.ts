/** (d) The minimal warm server: one MQTT.js connection that stays, and an answer after the acknowledgement. */
import { connectAsync } from 'mqtt';
import { servePublish } from './publish-app.ts';

const client = await connectAsync(process.env.MQTT_URL ?? '', { protocolVersion: 5 });

await servePublish(
  ({ topic, payload = '', qos, retain }) =>
    new Promise((resolve, reject) => {
      client.publish(topic, String(payload), { qos, retain }, (error, packet) => {
        if (error) reject(error);
        else resolve({ qos, reasonCode: packet !== undefined && 'reasonCode' in packet ? packet.reasonCode : 0 });
      });
    }),
);
