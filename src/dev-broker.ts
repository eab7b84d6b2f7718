import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';

export interface DevBroker {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * The broker inside the process that makes the bridge usable with nothing installed. Memory only: sessions and
 * retained messages end with the process. Rejects with one clear sentence when its port is taken.
 */
export async function startDevBroker({ host, port }: { host: string; port: number }): Promise<DevBroker> {
  const broker = await Aedes.createBroker();
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
