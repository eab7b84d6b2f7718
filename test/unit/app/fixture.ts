import { pino } from 'pino';
import { type App, type AppDependencies, buildApp } from '../../../src/app.ts';
import type { Bridge } from '../../../src/bridge/facade.ts';
import type { IncomingMessage } from '../../../src/mqtt/message.ts';
import { validateConnection } from '../../../src/schemas/connection-rules.ts';
import type { ConnectionView } from '../../../src/schemas/connection-view.ts';

export const MAX_PAYLOAD = 1024;
export const LOCAL = { host: 'localhost:8080' };

export const VIEW: ConnectionView = {
  id: 'a',
  clientId: 'a',
  state: 'online',
  since: '2026-11-22T16:55:00.000Z',
  reason: null,
  owner: 'node-1',
  generation: 1,
  parameters: {
    id: 'a',
    clientId: 'a',
    broker: 'default',
    protocolVersion: '5.0',
    connectTimeout: 10,
    keepAlive: 60,
    hold: 'always',
    onTakeover: 'yield',
    drainInterval: 60,
    idleTtl: null,
    queue: { maxMessages: 1, maxBytes: 1, maxAge: 1, overflow: 'dropOldest' },
  },
  secrets: [],
  connack: null,
  subscriptions: [],
  queue: { depth: 0, bytes: 0, dropped: 0 },
  warnings: [],
  createdAt: '2026-11-22T16:54:59.000Z',
};

export function incoming(payload: string | Uint8Array, more: Partial<IncomingMessage> = {}): IncomingMessage {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  return { topic: 't', payload: bytes, qos: 1, retain: true, dup: false, receivedAt: 0, ...more };
}

/** A bridge that can do only what the test gives it; anything else is an error of the test. */
export function fakeBridge(methods: Partial<Bridge>): Bridge {
  const unexpected = (name: PropertyKey) => () => {
    throw new Error(`the test did not expect ${String(name)}`);
  };
  return new Proxy(methods as Bridge, {
    get: (target, name) => Reflect.get(target, name) ?? unexpected(name),
  });
}

/** An app whose every response is checked against its declaration. */
export function appWith(methods: Partial<Bridge>, more: Partial<AppDependencies> = {}): Promise<App> {
  return buildApp({
    bridge: fakeBridge(methods),
    validateConnection: (document) =>
      validateConnection(document, {
        brokers: new Set(['default']),
        urlAllowed: () => 'not here',
        plaintextBrokers: new Set(),
        requireTls: false,
        allowInsecureTls: false,
        defaultHold: 'always',
        quicAvailable: false,
        maxPayload: MAX_PAYLOAD,
      }),
    maxPayload: MAX_PAYLOAD,
    apiKey: null,
    listen: { host: '127.0.0.1', port: 8080 },
    log: pino({ level: 'silent' }),
    validateResponses: true,
    ...more,
  });
}
