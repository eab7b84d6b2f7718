import { connect, createServer, type Socket } from 'node:net';
import { freePort } from './ports.ts';

/** A TCP port that leads to another, like the name of a service that moves from server to server. */
export interface Forwarder {
  readonly port: number;
  /** Where it leads to for who connects from now on; connections that there are stay. */
  forwardTo(port: number): void;
  stop(): void;
}

export async function startForwarder(to: number): Promise<Forwarder> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let target = to;
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const [socket, opposite] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => opposite.destroy());
      socket.once('close', () => {
        sockets.delete(socket);
        opposite.destroy();
      });
      socket.pipe(opposite);
    }
  });
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  return {
    port,
    forwardTo(next) {
      target = next;
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
