import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { until } from '../helpers/until.ts';

/** The broker's side of a connection, after CONNACK. */
interface Accepted {
  readonly webSocket: WebSocket;
  readonly socket: Socket;
}

const CONNACK = generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }, { protocolVersion: 4 });

describe('a WebSocket that ends', () => {
  let server: WebSocketServer;
  let bridge: TestBridge;
  let accepted: Accepted[];

  beforeEach(async () => {
    accepted = [];
    server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'mqtt' });
    server.on('connection', (webSocket, { socket }) => {
      webSocket.once('message', () => {
        webSocket.send(CONNACK);
        accepted.push({ webSocket, socket });
      });
    });
    await once(server, 'listening');
    bridge = await createTestBridge({ url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` });
  });
  afterEach(async () => {
    await bridge.end();
    for (const client of server.clients) client.terminate();
    server.close();
  });

  it.each([
    ['by RST', ({ socket }: Accepted) => socket.resetAndDestroy()],
    ['by FIN', ({ socket }: Accepted) => socket.destroy()],
    ['by a close frame', ({ webSocket }: Accepted) => webSocket.close()],
  ])('%s is noticed at once, without a Keep Alive too, and another one is opened', async (_how, end) => {
    const document = { id: 'a', protocolVersion: '3.1.1', cleanSession: false, keepAlive: 0 };
    expect(await bridge.openConnection(valid(document))).toMatchObject({ connection: { state: 'online' } });
    for (const connection of accepted) end(connection);
    await until(() => accepted.length === 2, { what: 'another WebSocket' });
  });
});
