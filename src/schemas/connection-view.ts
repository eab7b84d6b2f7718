import { z } from 'zod';
import { connack } from './connack.ts';
import { connectProperties } from './connect-properties.ts';
import { connectionParameters, sessionExpiryInterval } from './connection.ts';
import { lazily } from './lazily.ts';
import { tls, websocket } from './network.ts';
import { subscriptionView } from './subscription.ts';

export type { Connack } from './connack.ts';
export { type Granted, type SubscriptionView, subscriptionView } from './subscription.ts';

export const CONNECTION_STATES = ['connecting', 'online', 'offline', 'parked', 'refused', 'takenOver'] as const;

export const connectionState = lazily(() =>
  z
    .enum(CONNECTION_STATES)
    .describe(
      'connecting; online; offline: wants to be online and retries; parked: detached, its session persists at the broker; ' +
        'refused: CONNACK said no for a reason that time will not mend; takenOver: another client has the ClientID.',
    ),
);

/** Something worth knowing that does not stop the request. */
export const warning = lazily(() =>
  z
    .object({
      code: z.string().describe('Names the warning, in kebab-case.'),
      detail: z.string(),
      pointer: z.string().optional().describe('JSON pointer into the parameters.'),
    })
    .meta({
      id: 'Warning',
      examples: [
        {
          code: 'credentials-over-plaintext',
          detail: 'The credentials travel in the clear to broker.example.com: use mqtts or wss.',
          pointer: '/url',
        },
      ],
    }),
);

/** Why a Connection is in the state that it is in. */
export const stateReason = lazily(() =>
  z
    .object({
      code: z.string().describe('Names the reason, in kebab-case; a problem’s name where one fits.'),
      detail: z.string(),
      reasonCode: z.int().optional().describe('MQTT’s reason code (CONNACK, DISCONNECT), or the 3.x return code.'),
      reason: z.string().optional().describe('The reason code’s name, or the broker’s Reason String.'),
      serverReference: z
        .string()
        .optional()
        .describe('Where else the broker’s DISCONNECT said to go. [MQTT 5.0 §4.11]'),
      userProperties: z
        .record(z.string(), z.array(z.string()))
        .optional()
        .describe('Those of the broker’s DISCONNECT.'),
    })
    .meta({
      id: 'StateReason',
      examples: [
        {
          code: 'broker-refused',
          detail: 'The broker refused the connection: Not authorized.',
          reasonCode: 135,
          reason: 'Not authorized',
        },
      ],
    }),
);

/** The document as stored: its secrets are named in `secrets` and never shown; subscriptions have their own member. */
export const parametersView = lazily(() =>
  z
    .object({
      ...connectionParameters.unwrap().omit({ password: true, subscriptions: true }).shape,
      clientId: z.string(),
      sessionExpiryInterval: sessionExpiryInterval.optional(),
      properties: z.object(connectProperties.unwrap().omit({ authenticationData: true }).shape).optional(),
      tls: z.object(tls.unwrap().omit({ key: true, passphrase: true }).shape).optional(),
      websocket: z.object(websocket.unwrap().omit({ headers: true }).shape).optional(),
    })
    .describe('The parameters with their defaults resolved, without secrets and subscriptions.')
    .meta({ id: 'ParametersView' }),
);

const EXAMPLE = {
  id: 'plant-7',
  clientId: 'plant-7-dashboard',
  state: 'online',
  since: '2026-11-22T16:55:00.000Z',
  reason: null,
  owner: 'gateway-1',
  generation: 1,
  parameters: {
    id: 'plant-7',
    clientId: 'plant-7-dashboard',
    broker: 'default',
    protocolVersion: '5.0',
    connectTimeout: 10,
    keepAlive: 60,
    sessionExpiryInterval: 86_400,
    hold: 'always',
    onTakeover: 'yield',
    drainInterval: 60,
    idleTtl: null,
    queue: { maxMessages: 100_000, maxBytes: 67_108_864, maxAge: 604_800, overflow: 'dropOldest' },
  },
  secrets: ['password'],
  connack: { sessionPresent: false, reasonCode: 0, reason: 'Success', properties: { receiveMaximum: 20 } },
  subscriptions: [{ filter: 'plant/7/#', qos: 1, granted: { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' } }],
  queue: { depth: 12, bytes: 3456, dropped: 0 },
  warnings: [],
  createdAt: '2026-11-22T16:54:59.000Z',
} as const;

export const connectionView = lazily(() =>
  z
    .object({
      id: z.string().describe('Names the Connection in paths.'),
      clientId: z.string().describe('The ClientID; "" until one is assigned.'),
      state: connectionState,
      since: z.string().describe('RFC 3339: when this state began.'),
      reason: stateReason.nullable().describe('Why it is in this state; null when there is nothing to say.'),
      owner: z.string().nullable().describe('The instance that holds the lease, or null.'),
      generation: z.int().describe('Counts the sessions at the broker; 0 before the first CONNACK.'),
      parameters: parametersView,
      secrets: z.array(z.string()).describe('Which secrets are set, by name.'),
      connack: connack.nullable().describe('The last CONNACK; null before the first.'),
      subscriptions: z.array(subscriptionView),
      queue: z.object({
        depth: z.int().describe('Messages in the queue.'),
        bytes: z.int(),
        dropped: z.int().describe('Messages that limits removed or turned away since creation.'),
      }),
      warnings: z.array(warning),
      createdAt: z.string().describe('RFC 3339.'),
    })
    .describe('A Connection: parameters, state, subscriptions and queue.')
    .meta({ id: 'Connection', examples: [EXAMPLE] }),
);

export const connectionList = lazily(() =>
  z
    .object({
      connections: z.array(connectionView),
      next: z.string().nullable().describe('`after` of the next page; null on the last.'),
    })
    .meta({ id: 'ConnectionList', examples: [{ connections: [EXAMPLE], next: null }] }),
);

export type ConnectionState = (typeof CONNECTION_STATES)[number];
export type Warning = z.output<typeof warning>;
export type StateReason = z.output<typeof stateReason>;
export type ParametersView = z.output<typeof parametersView>;
export type ConnectionView = z.output<typeof connectionView>;
