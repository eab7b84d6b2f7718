import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Certificates, createCertificates } from '../helpers/certificates.ts';
import { type MosquittoOptions, startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoPub, mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { freePort, waitForPort } from '../helpers/ports.ts';
import { startProcess } from '../helpers/process.ts';
import { startScriptedBroker } from '../helpers/scripted-broker.ts';

// The helpers judge the bridge, so first they are judged themselves: against real programs, and for failing when they should.

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(cleanUps.splice(0).map((cleanUp) => cleanUp()));
});

async function mosquitto(options?: MosquittoOptions) {
  const broker = await startMosquitto(options);
  cleanUps.push(() => broker.stop());
  return broker;
}

async function scripted() {
  const broker = await startScriptedBroker();
  cleanUps.push(() => broker.stop());
  return broker;
}

describe('startProcess', () => {
  test('collects output, and kills what ignores SIGTERM', async () => {
    const script = `process.on('SIGTERM', () => console.error('no')); console.log('up'); setInterval(() => {}, 1000)`;
    const child = await startProcess(process.execPath, ['-e', script]);
    await child.waitForOutput(/up/);
    await expect(child.waitForOutput(/never/, 50)).rejects.toThrow('not within 50 ms');
    expect(await child.stop(100)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(child.output()).toBe('up\nno\n');
    await expect(child.waitForOutput(/never/)).rejects.toThrow('ended (code null, signal SIGKILL) before');
  });

  test('names a program that is missing', async () => {
    await expect(startProcess('no-such-program', [])).rejects.toThrow('cannot start no-such-program');
  });

  test.each([
    ['exits', 'process.exit(3)', { code: 3, signal: null }],
    ['is ended by SIGTERM', `process.kill(process.pid, 'SIGTERM')`, { code: null, signal: 'SIGTERM' }],
  ])('leaves nothing behind when the test process %s', async (_, ending, exit) => {
    const helper = new URL('../helpers/process.ts', import.meta.url);
    const port = await freePort();
    const server = `require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('up'))`;
    const script = `
      const { startProcess } = await import(${JSON.stringify(helper.href)});
      const child = await startProcess(process.execPath, ['-e', ${JSON.stringify(server)}]);
      await child.waitForOutput(/up/);
      await fetch('http://127.0.0.1:${port}', { signal: AbortSignal.timeout(50) }).catch(({ name }) => console.log(name));
      ${ending};`;
    const parent = await startProcess(process.execPath, ['--input-type=module', '-e', script]);
    expect(await parent.exited).toEqual(exit);
    expect(parent.stdout()).toBe('TimeoutError\n');
    await expect.poll(() => isOpen(port)).toBe(false);
  });
});

describe('startMosquitto', () => {
  let certificates: Certificates;
  beforeAll(async () => {
    certificates = await createCertificates();
  });

  test('carries messages over TCP in order, and logs them', async () => {
    const broker = await mosquitto();
    const subscriber = await mosquittoSub(broker, ['-t', 'a/#', '-q', '1', '-F', '%t %q %p']);
    await mosquittoPub(broker, ['-t', 'a/b', '-q', '1', '-l'], { stdin: 'one\ntwo\n' });
    expect(await subscriber.waitForLines(2)).toEqual(['a/b 1 one', 'a/b 1 two']);
    await broker.waitForLog(/Received PUBLISH from .*'a\/b'/);
    expect(await subscriber.stop()).toEqual({ code: 0, signal: null });
  });

  test.each(['tls', 'mutualTls'] as const)('carries messages over %s', async (listener) => {
    const broker = await mosquitto({ listeners: ['tcp', listener], certificates });
    const subscriber = await mosquittoSub(broker, ['-t', 'a']);
    await mosquittoPub(broker.over(listener), ['-t', 'a', '-q', '1', '-m', 'sealed']);
    expect(await subscriber.waitForLines(1)).toEqual(['sealed']);
    await subscriber.stop();
  });

  test('mutual TLS lets in only clients whose certificate the CA signed', async () => {
    const broker = await mosquitto({ listeners: ['mutualTls'], certificates });
    const { ca, stranger } = certificates;
    const without = {
      ...broker,
      clientArguments: ['-h', 'localhost', '-p', `${broker.port}`, '--cafile', ca.certFile],
    };
    await expect(mosquittoPub(without, ['-t', 'a', '-q', '1', '-m', 'x'])).rejects.toThrow('mosquitto_pub ended with');
    const own = ['--cert', stranger.certFile, '--key', stranger.keyFile];
    const unknown = { ...broker, clientArguments: [...without.clientArguments, ...own] };
    await expect(mosquittoPub(unknown, ['-t', 'a', '-q', '1', '-m', 'x'])).rejects.toThrow('mosquitto_pub ended with');
  });

  test.each([
    ['server', 'localhost', null],
    ['server', '127.0.0.1', null],
    ['wrongHost', 'localhost', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['expired', 'localhost', 'CERT_HAS_EXPIRED'],
  ] as const)('shows the %s certificate, which Node, asking for %s, judges: %s', async (show, host, code) => {
    const broker = await mosquitto({ listeners: ['tls'], certificates, show });
    expect(await verdict(broker.port, host, certificates.ca.cert)).toBe(code);
  });

  test('speaks WebSocket, plain and over TLS', async () => {
    const broker = await mosquitto({ listeners: ['ws', 'wss'], certificates });
    expect(broker.url).toBe(`ws://127.0.0.1:${broker.port}`);
    expect(await upgrade(connect(broker.port, '127.0.0.1'))).toMatch(/^HTTP\/1\.1 101 /);
    const secure = broker.over('wss');
    const socket = connectTls({ port: secure.port, host: 'localhost', ca: certificates.ca.cert });
    expect(await upgrade(socket)).toMatch(/^HTTP\/1\.1 101 /);
  });

  test('with users, lets in only them', async () => {
    const broker = await mosquitto({ users: { alice: 'pass word' } });
    const publish = ['-t', 'a', '-q', '1', '-m', 'x'];
    await mosquittoPub(broker, ['-u', 'alice', '-P', 'pass word', ...publish]);
    await expect(mosquittoPub(broker, ['-u', 'alice', '-P', 'wrong', ...publish])).rejects.toThrow(/refused/i);
    await expect(mosquittoPub(broker, publish)).rejects.toThrow(/refused/i);
  });

  test.each([
    [true, ['kept']],
    [false, []],
  ])('with persistence %s, a retained message survives a restart: %j', async (persistence, expected) => {
    const broker = await mosquitto({ persistence });
    const { port } = broker;
    await mosquittoPub(broker, ['-t', 'r', '-r', '-q', '1', '-m', 'kept']);
    await broker.restart();
    expect(broker.port).toBe(port);
    const subscriber = await mosquittoSub(broker, ['-t', 'r', '-t', 'end']);
    await mosquittoPub(broker, ['-t', 'end', '-q', '1', '-m', 'end']);
    expect(await subscriber.waitForLines(expected.length + 1)).toEqual([...expected, 'end']);
    await subscriber.stop();
  });

  test('a killed broker is gone until it is started again', async () => {
    const broker = await mosquitto();
    expect(await broker.kill()).toEqual({ code: null, signal: 'SIGKILL' });
    await expect(waitForPort(broker.port, 50)).rejects.toThrow('not within 50 ms');
    await broker.start();
    await mosquittoPub(broker, ['-t', 'a', '-q', '1', '-m', 'again']);
  });
});

describe('startScriptedBroker', () => {
  test.each(['mqttv31', 'mqttv311', 'mqttv5'])('plays a broker for mosquitto_pub, %s, QoS 2', async (version) => {
    const broker = await scripted();
    const published = mosquittoPub(broker, ['-V', version, '-i', 'me', '-t', 'a/b', '-q', '2', '-m', 'hello']);
    const connection = await broker.nextConnection();
    expect(await connection.accept()).toMatchObject({ clientId: 'me', clean: true });
    const { messageId, topic, payload } = await connection.next('publish', ({ qos }) => qos === 2);
    if (messageId === undefined) throw new Error('no packet identifier');
    expect([topic, String(payload)]).toEqual(['a/b', 'hello']);
    connection.send({ cmd: 'pubrec', messageId });
    expect(await connection.next('pubrel')).toMatchObject({ messageId });
    connection.sendRaw(Uint8Array.of(0x70, 2, messageId >> 8, messageId & 0xff));
    await published;
    await connection.closed;
    expect(connection.received.map(({ cmd }) => cmd)).toEqual(['connect', 'publish', 'pubrel', 'disconnect']);
    expect(broker.connections).toEqual([connection]);
  });

  test('refuses with the reason code that it is told', async () => {
    const broker = await scripted();
    const published = mosquittoPub(broker, ['-V', 'mqttv5', '-t', 'a', '-m', 'x']);
    await Promise.all([
      expect(published).rejects.toThrow(/not authorized/i),
      broker.nextConnection().then((connection) => connection.accept({ reasonCode: 0x87 })),
    ]);
  });

  test('drops a connection, and says what was missing', async () => {
    const broker = await scripted();
    await expect(broker.nextConnection(20)).rejects.toThrow('not within 20 ms: a connection');
    const socket = connect(broker.port, '127.0.0.1');
    const connection = await broker.nextConnection();
    const waiting = expect(connection.next('publish')).rejects.toThrow(
      'waiting for a PUBLISH packet: the connection is closed; received in all: nothing',
    );
    connection.drop();
    await waiting;
    await connection.closed;
    socket.destroy();
  });

  test('a paused connection reads nothing until it is resumed', async () => {
    const broker = await scripted();
    const published = mosquittoPub(broker, ['-t', 'a', '-q', '1', '-m', 'x']);
    const connection = await broker.nextConnection();
    await connection.accept();
    connection.pause();
    await expect(connection.next('publish', undefined, 100)).rejects.toThrow('received in all: connect');
    connection.resume();
    const { messageId } = await connection.next('publish');
    connection.send({ cmd: 'puback', ...(messageId === undefined ? {} : { messageId }) });
    await published;
  });
});

test('freePort answers a port that can be listened on', async () => {
  const broker = await startScriptedBroker(await freePort());
  cleanUps.push(() => broker.stop());
  await waitForPort(broker.port);
});

function isOpen(port: number): Promise<boolean> {
  return waitForPort(port, 0).then(
    () => true,
    () => false,
  );
}

/** What Node's TLS says of the server's certificate: an error code, or null when it trusts it. */
function verdict(port: number, host: string, ca: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connectTls({ port, host, ca }, () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Asks for a WebSocket of the MQTT subprotocol, and answers the beginning of the response. */
function upgrade(socket: ReturnType<typeof connect>): Promise<string> {
  socket.write(
    [
      'GET /mqtt HTTP/1.1',
      'Host: localhost',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol: mqtt',
      '\r\n',
    ].join('\r\n'),
  );
  return new Promise((resolve, reject) => {
    socket.once('data', (bytes) => {
      socket.destroy();
      resolve(String(bytes));
    });
    socket.once('error', reject);
  });
}
