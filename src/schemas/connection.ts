/**
 * The document that describes a Connection: everything an MQTT client can say in CONNECT, the network under it, and
 * what the bridge does with it. Shapes and ranges only; `connection-rules.ts` holds what MQTT says across members.
 *
 * Members that only some protocol versions know stay absent when they are absent: their defaults are MQTT's, and a
 * merge patch can then change `protocolVersion` alone. All others have their defaults resolved by the validation.
 */
import { z } from 'zod';
import { MAX_KEEP_ALIVE, SESSION_NEVER_EXPIRES } from '../mqtt/limits.ts';
import { PROTOCOL_VERSIONS } from '../mqtt/protocol-version.ts';
import { connectProperties } from './connect-properties.ts';
import { base64Text, flag, integer, oneOf, text } from './fields.ts';
import { lazily } from './lazily.ts';
import { tls, websocket } from './network.ts';
import { MAX_SUBSCRIPTIONS, subscriptionRequest } from './subscription.ts';
import { will } from './will.ts';

export const DEFAULT_CONNECT_TIMEOUT = 10;
export const DEFAULT_KEEP_ALIVE = 60;
export const DEFAULT_DRAIN_INTERVAL = 60;
export const DEFAULT_QUEUE = {
  maxMessages: 100_000,
  maxBytes: 67_108_864,
  maxAge: 604_800,
  overflow: 'dropOldest',
} as const;

/** Addresses of one cluster. */
const MAX_URLS = 16;
const DAY = 86_400;
const TEN_YEARS = 3650 * DAY;
const PASSWORD = 'The password is a string, or an object {"base64": "…"} [MQTT 5.0 §3.1.3.6]';
const URL_SENTENCE = '`url` is a string, or an array of 1 to 16 strings that are tried in turn';

const SESSION_EXPIRY =
  'The Session Expiry Interval is a whole number of seconds from 0 to 4294967295, or "never" [MQTT 5.0 §3.1.2.11.2]';

export const sessionExpiryInterval = lazily(() =>
  z
    .union([z.literal('never'), integer(0, SESSION_NEVER_EXPIRES, SESSION_EXPIRY)], { error: SESSION_EXPIRY })
    .describe(
      'MQTT 5.0; seconds that the session outlives its network connection, 0–4294967295, or "never" (4294967295); default 0. [MQTT 5.0 §3.1.2.11.2]',
    )
    .meta({ examples: [86_400, 'never'] }),
);

const password = lazily(() =>
  z
    .union([z.string(), z.strictObject({ base64: base64Text(PASSWORD).describe('Base64 of the password’s bytes.') })], {
      error: PASSWORD,
    })
    .describe(
      'Text, or {"base64": "…"} for any bytes; at most 65535 bytes. "" is sent empty, absent is not sent. Never answered. [MQTT 5.0 §3.1.3.6]',
    )
    .meta({ examples: ['p', { base64: 'cA==' }] }),
);

const queue = lazily(() =>
  z
    .strictObject(
      {
        maxMessages: integer(1, 100_000_000, '`queue.maxMessages` is a whole number from 1 to 100000000')
          .default(DEFAULT_QUEUE.maxMessages)
          .describe('Messages kept, 1–100000000; default 100000.'),
        maxBytes: integer(1, 2 ** 40, '`queue.maxBytes` is a whole number of bytes from 1 to 1099511627776')
          .default(DEFAULT_QUEUE.maxBytes)
          .describe('Bytes kept, 1–1099511627776; default 67108864 (64 MiB).'),
        maxAge: integer(1, TEN_YEARS, '`queue.maxAge` is a whole number of seconds from 1 to 315360000')
          .default(DEFAULT_QUEUE.maxAge)
          .describe('Seconds that a message is kept, 1–315360000; default 604800 (7 days).'),
        overflow: oneOf(['dropOldest', 'hold'], '`queue.overflow` is "dropOldest" or "hold"')
          .default(DEFAULT_QUEUE.overflow)
          .describe('Over a limit: drop the oldest messages (default), or hold: stop acknowledging to the broker.'),
      },
      { error: '`queue` is an object' },
    )
    .describe('Limits of the queue of what arrives.')
    .meta({ examples: [{ maxMessages: 1000, maxAge: DAY }] }),
);

export const connectionParameters = lazily(() =>
  z
    .strictObject(
      {
        id: text('`id` is a string')
          .optional()
          .describe(
            'Names the Connection in paths, 1–1024 bytes, not beginning with `$bridge/`; default: the ClientID.',
          )
          .meta({ examples: ['plant-7'] }),
        clientId: text('The ClientID is a string [MQTT-3.1.3-4]')
          .optional()
          .describe(
            'ClientID, at most 65535 bytes (23 on 3.1); default: `id`. "" (or both absent): one is assigned. [MQTT-3.1.3-2]',
          )
          .meta({ examples: ['plant-7-dashboard'] }),
        broker: text('`broker` is the name of a broker profile')
          .optional()
          .describe('A broker profile of the operator’s; default `default`. Not with `url`.')
          .meta({ examples: ['default'] }),
        url: z
          .union(
            [
              z.string(),
              z.array(text(URL_SENTENCE)).min(1, { error: URL_SENTENCE }).max(MAX_URLS, { error: URL_SENTENCE }),
            ],
            { error: URL_SENTENCE },
          )
          .optional()
          .describe(
            'Broker address: mqtt, tcp, mqtts, ssl, tls, ws, wss or quic; an array of 1–16 is tried in turn. Not with `broker`.',
          )
          .meta({ examples: ['mqtts://broker.example.com:8883'] }),
        protocolVersion: oneOf(PROTOCOL_VERSIONS, 'The protocol version is "5.0", "3.1.1" or "3.1" [MQTT-3.1.2-2]')
          .default('5.0')
          .describe('MQTT version; default 5.0. [MQTT 5.0 §3.1.2.2]'),
        username: text('The user name is a string [MQTT-3.1.3-12]')
          .optional()
          .describe('User Name, at most 65535 bytes; "" is sent empty, absent is not sent. [MQTT-3.1.3-12]')
          .meta({ examples: ['u'] }),
        password: password.optional(),
        connectTimeout: integer(1, 120, '`connectTimeout` is a whole number of seconds from 1 to 120')
          .default(DEFAULT_CONNECT_TIMEOUT)
          .describe('Seconds until CONNACK, 1–120; default 10.'),
        keepAlive: integer(
          0,
          MAX_KEEP_ALIVE,
          'Keep Alive is a whole number of seconds from 0 to 65535 [MQTT 5.0 §3.1.2.10]',
        )
          .default(DEFAULT_KEEP_ALIVE)
          .describe(
            'Keep Alive in seconds, 0–65535, 0 = off; default 60. The broker’s Server Keep Alive wins. [MQTT-3.1.2-20] [MQTT-3.1.2-21]',
          ),
        cleanStart: flag('Clean Start is true or false [MQTT 5.0 §3.1.2.4]')
          .optional()
          .describe(
            'MQTT 5.0; discard a session of this ClientID at the first attach after create or reset; default: true exactly when the Session Expiry Interval is 0. [MQTT-3.1.2-4]',
          ),
        cleanSession: flag('Clean Session is true or false [MQTT 3.1.1 §3.1.2.4]')
          .optional()
          .describe(
            '3.1.1 and 3.1; true (default): the session ends with its network connection. [MQTT 3.1.1 §3.1.2.4]',
          )
          .meta({ default: true }),
        sessionExpiryInterval: sessionExpiryInterval.optional().meta({ default: 0 }),
        will: will.optional(),
        properties: connectProperties.optional(),
        tls: tls.optional(),
        websocket: websocket.optional(),
        hold: oneOf(['always', 'onDemand'], '`hold` is "always" or "onDemand"')
          .optional()
          .describe(
            'Stay attached always, or only for a request or a drain; the deployment’s default is stored at creation.',
          ),
        onTakeover: oneOf(['yield', 'reclaim'], '`onTakeover` is "yield" or "reclaim"')
          .default('yield')
          .describe(
            'When another client takes the ClientID over (v5 reason code 0x8E): yield (default) or reclaim it.',
          ),
        drainInterval: integer(1, DAY, '`drainInterval` is a whole number of seconds from 1 to 86400')
          .default(DEFAULT_DRAIN_INTERVAL)
          .describe('Seconds between drains while parked, 1–86400; default 60; less where the session would expire.'),
        idleTtl: integer(1, TEN_YEARS, '`idleTtl` is null, or a whole number of seconds from 1 to 315360000')
          .nullable()
          .default(null)
          .describe(
            'Seconds without a request after which the Connection is deleted, 1–315360000; null (default): never.',
          ),
        subscriptions: z
          .array(subscriptionRequest, { error: '`subscriptions` is an array of subscriptions' })
          .max(MAX_SUBSCRIPTIONS, { error: '`subscriptions` has at most 1000 entries' })
          .optional()
          .describe(
            'At most 1000, made as soon as attached; each Topic Filter once. With PUT, absent leaves them as they are.',
          ),
        queue: queue.prefault({}),
      },
      { error: 'A Connection is described by a JSON object' },
    )
    .describe('How to connect to an MQTT broker, and what to do with the Connection.')
    .meta({
      id: 'ConnectionParameters',
      examples: [
        {
          id: 'plant-7',
          clientId: 'plant-7-dashboard',
          broker: 'default',
          sessionExpiryInterval: DAY,
          will: { topic: 'plant/7/dashboard', payload: 'offline', qos: 1, retain: true },
          subscriptions: [{ filter: 'plant/7/#', qos: 1 }],
        },
      ],
    }),
);

/** The document as a caller writes it. */
export type ConnectionInput = z.input<typeof connectionParameters>;
/** A parsed document, before what depends on the deployment is resolved. */
export type ParsedConnection = z.output<typeof connectionParameters>;

/** A valid document with its defaults resolved. */
export type ConnectionParameters = Omit<ParsedConnection, 'clientId' | 'hold'> & {
  /** `''`: one is to be assigned. */
  clientId: string;
  hold: NonNullable<ParsedConnection['hold']>;
};
export type Will = NonNullable<ConnectionParameters['will']>;
export type Password = NonNullable<ConnectionParameters['password']>;
