import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';

export interface TestServer {
  readonly port: number;
  /** Closes all connections too. */
  stop(): Promise<void>;
}

/** A TLS server of Node's on 127.0.0.1, for what Mosquitto cannot do. What is in it goes to a plaintext port. */
export function startTlsServer(
  options: TlsOptions,
  { port, onSecure }: { port: number; onSecure?: (socket: TLSSocket) => void },
): Promise<TestServer> {
  const server = createTlsServer(options, (inner) => {
    onSecure?.(inner);
    const outer = connect(port, '127.0.0.1');
    inner.on('error', () => outer.destroy()).on('close', () => outer.destroy());
    outer.on('error', () => inner.destroy()).on('close', () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  });
  return listening(server);
}

/** A server on 127.0.0.1 that says the same to whoever says something, and closes when that is nothing. */
export function startParrot(answer: (request: string) => string): Promise<TestServer> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (request) => {
      const text = answer(request.toString('latin1'));
      if (text === '') socket.end();
      else socket.write(text);
    });
  });
  return listening(server);
}

async function listening(server: Server): Promise<TestServer> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
