import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A piece of network before a broker that can be cut. */
export interface Wire {
  /** The broker's address, by way of this. */
  readonly url: string;
  /** Closes all connections, and takes no new ones. */
  cut(): void;
  mend(): void;
  stop(): Promise<void>;
}

/** One of TCP: bytes go through as they are, TLS too. */
export async function startWire(target: string): Promise<Wire> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((inner) => {
    const outer = connect(Number(port), '127.0.0.1');
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
    if (!whole) inner.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: target.replace(`:${port}`, `:${(server.address() as AddressInfo).port}`),
    cut,
    mend: () => {
      whole = true;
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
