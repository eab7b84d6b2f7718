/**
 * What the inbound path of the bridge is held against: MQTT.js takes the messages, acknowledges them, and stores
 * nothing. Steered over HTTP like the bridge, so that both are warm when their time is taken.
 */
import Fastify from 'fastify';
import { connect, type MqttClient } from 'mqtt';

interface Receiver {
  readonly client: MqttClient;
  received: number;
}

const app = Fastify();
const receivers = new Map<string, Receiver>();

app.post<{ Params: { id: string }; Body: { url: string } }>(
  '/:id/attach',
  async ({ params: { id }, body: { url } }) => {
    const client = connect(url, {
      clientId: id,
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 600 },
      reconnectPeriod: 0,
    });
    const receiver = { client, received: 0 };
    client.on('message', () => {
      receiver.received += 1;
    });
    receivers.set(id, receiver);
    return { attached: true };
  },
);

app.get<{ Params: { id: string } }>('/:id', async ({ params: { id } }) => ({
  received: receivers.get(id)?.received ?? 0,
}));

app.delete<{ Params: { id: string } }>('/:id', async ({ params: { id } }) => {
  await receivers.get(id)?.client.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
  receivers.delete(id);
  return { deleted: true };
});

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
