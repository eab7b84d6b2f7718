/** QUIC as a stream of bytes, to a QUIC server whose streams go to a TCP server of the test. */
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openTransport } from '../../src/bridge/transports/index.ts';
import { TlsContexts } from '../../src/bridge/transports/tls-contexts.ts';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type QuicServer, startQuicServer } from '../helpers/quic-server.ts';
import { until } from '../helpers/until.ts';

const MEBIBYTE = 1024 * 1024;
/** Far more than windows and buffers hold. */
const FLOOD = 12 * MEBIBYTE;
const STILL_MS = 300;

/** What the name server says about names that end in `.test`. */
const names = new Map<string, LookupAddress[]>();

vi.mock('node:dns', async (original) => {
  const dns = await original<typeof import('node:dns')>();
  const lookup = (name: string, options: object, done: (...answer: unknown[]) => void) => {
    const known = names.get(name);
    if (known === undefined) dns.lookup(name, options, done);
    else setImmediate(() => done(null, known));
  };
  return { ...dns, lookup };
});

const contexts = new TlsContexts();
let certificates: Certificates;
let tcp: Server;
let server: QuicServer;
/** Gets each TCP connection; echoes when not said. */
let onSocket: (socket: Socket) => void;

beforeAll(async () => {
  certificates = await createCertificates();
  tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  server = await listen();
});

afterAll(async () => {
  await server?.stop();
  tcp?.close();
});

const listen = (options: { host?: string; port?: number } = {}) =>
  startQuicServer({ to: (tcp.address() as AddressInfo).port, certificate: certificates.server, ...options });

function open(port: number, host = 'localhost'): Duplex {
  return openTransport(
    {
      address: { scheme: 'quic', host, port, path: null },
      fromCaller: true,
      tls: { ca: certificates.ca.cert, serverName: 'localhost' },
      webSocket: { path: '/mqtt', headers: {}, protocol: 'mqtt' },
    },
    contexts,
  );
}

const echo = (socket: Socket) => socket.pipe(socket);
const closed = (stream: Duplex) => new Promise((resolve) => stream.once('close', resolve));
const failure = (stream: Duplex) => new Promise<Error>((resolve) => stream.once('error', resolve));
/** Waits until there are no UDP sockets in this process but those of two servers. */
const untilServersOnly = () => {
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
  return until(() => sockets() === 2, { what: 'the UDP socket is closed' });
};

describe('bytes', () => {
  it('small writes leave together, those from before it is open too', async () => {
    onSocket = echo;
    const stream = open(server.port);
    const texts = Array.from({ length: 500 }, (_, index) => `${index},`);
    const expected = texts.join('');
    let got = '';
    stream.on('data', (bytes) => {
      got += bytes;
    });
    for (const text of texts) stream.write(text);
    await until(() => got.length >= expected.length, { what: 'the echo' });
    expect(got).toBe(expected);
    got = '';
    const before = server.datagrams();
    for (const text of texts) stream.write(text);
    await until(() => got.length >= expected.length, { what: 'the echo' });
    expect(got).toBe(expected);
    expect(server.datagrams() - before).toBeLessThan(20);
    stream.destroy();
    await closed(stream);
  });

  it('an end is an end on either side, and comes after all that was written', async () => {
    onSocket = (socket) => void socket.once('data', () => socket.end(Buffer.alloc(MEBIBYTE, 1)));
    const stream = open(server.port);
    stream.write('go');
    let length = 0;
    stream.on('data', (bytes: Buffer) => {
      length += bytes.length;
    });
    await closed(stream);
    expect(length).toBe(MEBIBYTE);
    expect(stream.errored).toBeNull();
  });

  it('our end comes after all that was written', async () => {
    let length = 0;
    const ended = new Promise<void>((resolve) => {
      onSocket = (socket) => {
        socket.on('data', (bytes) => {
          length += bytes.length;
        });
        socket.once('end', () => resolve());
      };
    });
    const stream = open(server.port);
    stream.resume().end(Buffer.alloc(MEBIBYTE, 1));
    await ended;
    expect(length).toBe(MEBIBYTE);
    await closed(stream);
  });
});

describe('back-pressure', () => {
  it('a peer that does not read holds writes back', async () => {
    let inner: Socket | undefined;
    onSocket = (socket) => {
      inner = socket.pause();
    };
    const stream = open(server.port);
    for (let sent = 0; sent < FLOOD; sent += MEBIBYTE) stream.write(Buffer.alloc(MEBIBYTE, 1));
    await until(() => inner, { what: 'the stream arrives' });
    const settled = await settle(() => stream.writableLength);
    expect(settled).toBeGreaterThan(FLOOD / 4);
    let length = 0;
    inner?.on('data', (bytes) => {
      length += bytes.length;
    });
    inner?.resume();
    await until(() => length === FLOOD, { what: 'all of it', within: 20_000 });
    stream.destroy();
    await closed(stream);
  });

  it('a reader that stands still holds the peer back', async () => {
    let inner: Socket | undefined;
    onSocket = (socket) => {
      inner = socket;
      socket.once('data', () => socket.write(Buffer.alloc(FLOOD, 1)));
    };
    const stream = open(server.port);
    stream.write('go');
    await once(stream, 'readable');
    await settle(() => inner?.writableLength ?? 0);
    expect(stream.readableLength).toBeLessThan(MEBIBYTE);
    let length = 0;
    stream.on('data', (bytes: Buffer) => {
      length += bytes.length;
    });
    await until(() => length === FLOOD, { what: 'all of it', within: 20_000 });
    stream.destroy();
    await closed(stream);
  });
});

describe('destroy leaves nothing alive', () => {
  it.each<{ when: string; ready: (stream: Duplex, silent: QuicServer) => unknown; at: 'server' | 'silent' }>([
    { when: 'at once', ready: () => undefined, at: 'server' },
    {
      when: 'in the handshake',
      ready: (_stream, silent) => until(() => silent.datagrams() > 0, { what: 'Initial' }),
      at: 'silent',
    },
    {
      when: 'when it is open',
      ready: async (stream) => {
        stream.write('x');
        await once(stream, 'data');
      },
      at: 'server',
    },
  ])('$when', async ({ ready, at }) => {
    onSocket = echo;
    const silent = await listen();
    silent.freeze();
    await untilServersOnly();
    const stream = open(at === 'silent' ? silent.port : server.port);
    await ready(stream, silent);
    stream.destroy();
    await closed(stream);
    await untilServersOnly();
    await until(() => server.connections() === 0, { what: 'the server knows' });
    await silent.stop();
  });

  it('after the peer has closed the connection', async () => {
    onSocket = echo;
    const other = await listen();
    await untilServersOnly();
    const stream = open(other.port);
    stream.write('x');
    await once(stream, 'data');
    const end = Promise.all([failure(stream), closed(stream)]);
    other.cut();
    expect(await end).toMatchObject([{ code: 'ECONNRESET' }, undefined]);
    await untilServersOnly();
    await other.stop();
  });
});

describe('names', () => {
  it('the addresses of a name are tried in turn: one where nothing listens', async () => {
    onSocket = echo;
    names.set('refused.test', [
      { address: '127.0.0.2', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]);
    const stream = open(server.port, 'refused.test');
    stream.write('x');
    expect(String((await once(stream, 'data'))[0])).toBe('x');
    stream.destroy();
    await closed(stream);
  });

  it('the addresses of a name are tried in turn: one that does not answer', async () => {
    onSocket = echo;
    const mute = await listen({ host: '127.0.0.2', port: server.port });
    mute.freeze();
    names.set('mute.test', [
      { address: '127.0.0.2', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]);
    const stream = open(server.port, 'mute.test');
    stream.write('x');
    expect(String((await once(stream, 'data'))[0])).toBe('x');
    expect(mute.datagrams()).toBeGreaterThan(0);
    stream.destroy();
    await closed(stream);
    await mute.stop();
  });

  it('says what the last of them said', async () => {
    names.set('nobody.test', [
      { address: '127.0.0.2', family: 4 },
      { address: '127.0.0.3', family: 4 },
    ]);
    const error = await failure(open(server.port, 'nobody.test'));
    expect(error).toMatchObject({ code: 'ECONNREFUSED', address: '127.0.0.3', port: server.port });
  });

  it('a name that leads to a metadata address is not connected to', async () => {
    names.set('metadata.test', [
      { address: '127.0.0.1', family: 4 },
      { address: '169.254.169.254', family: 4 },
    ]);
    expect(await failure(open(server.port, 'metadata.test'))).toMatchObject({ code: 'EFORBIDDEN' });
  });
});

/** Waits until a number stays the same for a while, and answers it. */
async function settle(read: () => number): Promise<number> {
  let last = read();
  let since = performance.now();
  const stands = () => {
    const now = read();
    if (now !== last) since = performance.now();
    last = now;
    return performance.now() - since > STILL_MS;
  };
  await until(stands, { what: 'it stands still' });
  return last;
}
