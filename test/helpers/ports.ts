import { randomInt } from 'node:crypto';
import { connect, createServer, type Server } from 'node:net';
import { until } from './until.ts';

const LOOPBACK = '127.0.0.1';

/** Below the range from which kernels serve outgoing connections, so that no client can occupy a stopped server's port. */
const PORTS = { first: 15_000, count: 17_000 };
/** Each worker of the tests takes its ports from a part of its own. */
const PARTS = 4;

const partSize = PORTS.count / PARTS;
const partStart = PORTS.first + (Number(process.env.VITEST_POOL_ID ?? 0) % PARTS) * partSize;
let lastTaken = randomInt(partSize);

/**
 * A TCP port of 127.0.0.1 that nothing listens on, and that was not given before for as long as there are others: a
 * client that still looks for its stopped server must not find another test's.
 */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('unreachable');
  return port;
}

/** `count` different free ports. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>();
  while (held.size < count) {
    lastTaken = (lastTaken + 1) % partSize;
    const port = partStart + lastTaken;
    const server = await listen(port);
    if (server !== null) held.set(port, server);
  }
  await Promise.all([...held.values()].map((server) => new Promise((done) => server.close(done))));
  return [...held.keys()];
}

/** Answers the listening server, or null when the port is taken. */
function listen(port: number): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => resolve(server));
  });
}

/** Waits until something accepts connections on the port. */
export async function waitForPort(port: number, within = 10_000): Promise<void> {
  await until(() => accepts(port), { what: `something listens on ${LOOPBACK}:${port}`, within });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, LOOPBACK);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
