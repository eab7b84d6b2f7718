import { type EventEmitter, once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { Aedes, type Client } from 'aedes';
import type { Packet } from 'mqtt-packet';

/** Stands for a filter that this broker cannot take, until it is refused. */
const REFUSED_FILTER = '$refused';

export interface DevBroker {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * The broker inside the process that makes the bridge usable with nothing installed. Memory only: sessions and
 * retained messages end with the process. Rejects with one clear sentence when its port is taken.
 */
export async function startDevBroker({ host, port }: { host: string; port: number }): Promise<DevBroker> {
  const broker = await Aedes.createBroker({
    preConnect: (client, _packet, done) => {
      keepFiltersApart(client);
      done(null, true);
    },
    authorizeSubscribe: (_client, subscription, done) => {
      done(null, subscription.topic === REFUSED_FILTER ? null : subscription);
    },
  });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    broker.handle(socket);
  });
  try {
    await once(server.listen({ host, port, exclusive: true }), 'listening');
  } catch (cause) {
    await new Promise<void>((done) => broker.close(done));
    throw new Error(busy(cause, host, port), { cause });
  }
  const address = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;

  return {
    url: `mqtt://${host}:${actual}`,
    async close() {
      const closed = new Promise<void>((done) => server.close(() => done()));
      await new Promise<void>((done) => broker.close(done));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function busy(cause: unknown, host: string, port: number): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code !== 'EADDRINUSE') return `The embedded MQTT broker cannot listen on ${host}:${port}: ${String(cause)}.`;
  return (
    `The embedded MQTT broker cannot listen on ${host}:${port}, because another program does: ` +
    `if that is a broker, use it with MQTT_URL=mqtt://${host}:${port}; otherwise stop it, or set MQTT_URL to another broker.`
  );
}

/**
 * aedes takes filters for the names of an object's members. Such as the object inherits, `constructor` for one, would
 * throw, and end the process. It also drops duplicates of a SUBSCRIBE so, where `__proto__` never comes out again: that
 * one is refused. And where filters look like integers they come first in SUBACK, which is not mended here.
 */
function keepFiltersApart(client: Client): void {
  // Its types name neither of the two.
  const { _parser } = Object.assign(client, { subscriptions: Object.create(null) }) as unknown as {
    _parser: EventEmitter;
  };
  _parser.prependListener('packet', (packet: Packet) => {
    if (packet.cmd !== 'subscribe') return;
    for (const subscription of packet.subscriptions) {
      if (subscription.topic === '__proto__') subscription.topic = REFUSED_FILTER;
    }
  });
}
