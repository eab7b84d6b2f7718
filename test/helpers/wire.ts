import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A piece of network before a server that can be cut. */
export interface Wire {
  /** The server's address, by way of this. */
  readonly url: string;
  /** Closes all connections, and takes no new ones. */
  cut(): void;
  /** Carries nothing any more, and says so to nobody: as when packets are dropped on their way. */
  stall(): void;
  /** After `cut` or `stall`. What was on its way when it stalled is carried now. */
  mend(): void;
  stop(): Promise<void>;
}

export interface WireOptions {
  /** Sees what clients send, before the server does; `connection` counts their connections. */
  readonly onSent?: (bytes: Buffer, connection: number) => void;
}

/**
 * One of TCP: bytes go through as they are, TLS too. What a client still sends after the server has closed is taken and
 * seen, until the client closes as well.
 */
export async function startWire(target: string, { onSent = () => {} }: WireOptions = {}): Promise<Wire> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let state: 'whole' | 'stalled' | 'cut' = 'whole';
  let connections = 0;

  const carry = (from: Socket, to: Socket, onBytes: (bytes: Buffer) => void) => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on('error', () => {});
    from.on('data', (bytes: Buffer) => {
      onBytes(bytes);
      if (to.writable && !to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      if (state !== 'stalled') from.resume();
    });
    from.on('close', () => {
      sockets.delete(from);
      to.end();
    });
    from.on('end', () => to.end());
    if (state === 'stalled') from.pause();
  };
  const server = createServer({ allowHalfOpen: true }, (inner) => {
    if (state === 'cut') return void inner.destroy();
    connections += 1;
    const connection = connections;
    const outer = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
    carry(inner, outer, (bytes) => onSent(bytes, connection));
    carry(outer, inner, () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    state = 'cut';
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: target.replace(`:${port}`, `:${(server.address() as AddressInfo).port}`),
    cut,
    stall() {
      state = 'stalled';
      for (const socket of sockets) socket.pause();
    },
    mend() {
      state = 'whole';
      for (const socket of sockets) socket.resume();
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
