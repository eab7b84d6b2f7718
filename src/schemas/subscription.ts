import { z } from 'zod';
import { MAX_SUBSCRIPTION_IDENTIFIER, MIN_SUBSCRIPTION_IDENTIFIER } from '../mqtt/limits.ts';
import { flag, integer, oneOf, qos, text } from './fields.ts';
import { lazily } from './lazily.ts';

/** Topic Filters in one request; MQTT itself knows no limit. */
export const MAX_SUBSCRIPTIONS = 1000;

const EXAMPLE = { filter: 'plant/7/#', qos: 1 };

/**
 * One subscription as a caller asks for it. The options of MQTT 5.0 stay absent when absent, so that a document can
 * change its protocol version; their defaults are MQTT's own.
 */
export const subscriptionRequest = lazily(() =>
  z
    .strictObject(
      {
        filter: text('The Topic Filter is a string [MQTT-3.8.3-1]')
          .describe(
            'Topic Filter, 1–65535 bytes: `+` is one level, `#` at the end all the rest; `$share/<name>/<filter>` shares. [MQTT 5.0 §4.7]',
          )
          .meta({ examples: ['plant/7/#'] }),
        qos: qos.default(0).describe('Maximum QoS to receive at; default 0. [MQTT 5.0 §3.8.3.1]'),
        noLocal: flag('No Local is true or false [MQTT 5.0 §3.8.3.1]')
          .optional()
          .describe(
            'MQTT 5.0; do not receive what this ClientID published; default false; not with `$share`. [MQTT-3.8.3-3] [MQTT-3.8.3-4]',
          )
          .meta({ default: false }),
        retainAsPublished: flag('Retain As Published is true or false [MQTT 5.0 §3.8.3.1]')
          .optional()
          .describe('MQTT 5.0; keep the RETAIN flag as it was published; default false. [MQTT 5.0 §3.8.3.1]')
          .meta({ default: false }),
        retainHandling: oneOf([0, 1, 2], 'Retain Handling is 0, 1 or 2 [MQTT 5.0 §3.8.3.1]')
          .optional()
          .describe(
            'MQTT 5.0; retained messages are sent 0 (default) at every subscribe, 1 only if the subscription is new, 2 never. [MQTT 5.0 §3.8.3.1]',
          )
          .meta({ default: 0 }),
        subscriptionIdentifier: integer(
          MIN_SUBSCRIPTION_IDENTIFIER,
          MAX_SUBSCRIPTION_IDENTIFIER,
          'The Subscription Identifier is a whole number from 1 to 268435455; 0 is a Protocol Error [MQTT 5.0 §3.8.2.1.2]',
        )
          .optional()
          .describe(
            'MQTT 5.0; 1–268435455, comes back with each message that this subscription matched. [MQTT 5.0 §3.8.2.1.2]',
          )
          .meta({ examples: [7] }),
      },
      { error: 'A subscription is an object with a `filter`' },
    )
    .describe('One subscription.')
    .meta({ id: 'SubscriptionRequest', examples: [EXAMPLE] }),
);

const COUNT = 'A SUBSCRIBE has at least one subscription, and a request at most 1000 [MQTT-3.8.3-2]';

/** Subscriptions of one request. */
export const subscriptionRequests = lazily(() =>
  z.array(subscriptionRequest).min(1, { error: COUNT }).max(MAX_SUBSCRIPTIONS, { error: COUNT }),
);

/** The body of a request to subscribe: one, or an array. Validate it with `validateSubscriptions`. */
export const subscriptionBody = lazily(() =>
  z
    .union([subscriptionRequest.unwrap(), subscriptionRequests.unwrap()])
    .describe('One subscription, or an array of 1–1000. [MQTT-3.8.3-2]')
    .meta({ examples: [EXAMPLE, [EXAMPLE, { filter: 'plant/+/state', qos: 0 }]] }),
);

/** What the broker said to one filter. */
export const granted = lazily(() =>
  z
    .object({
      qos: qos.nullable().describe('The QoS granted; null when the broker refused.'),
      reasonCode: z
        .int()
        .min(0)
        .max(255)
        .describe(
          'SUBACK’s reason code, or its return code on 3.x. A filter that CONNACK rules out is not sent, and has the code that the broker would close the connection with: 0x95, 0x9E, 0xA1, 0xA2.',
        ),
      reason: z.string().describe('The reason code’s name.'),
    })
    .meta({ id: 'Granted', examples: [{ qos: 1, reasonCode: 1, reason: 'Granted QoS 1' }] }),
);

/** A subscription as requested, and what SUBACK granted; null until the broker has answered. */
export const subscriptionView = lazily(() =>
  z
    .object({ ...subscriptionRequest.unwrap().shape, granted: granted.nullable() })
    .describe('A subscription, and what the broker granted: null until SUBACK.')
    .meta({
      id: 'Subscription',
      examples: [{ ...EXAMPLE, granted: { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' } }],
    }),
);

export const subscriptionResults = lazily(() =>
  z
    .object({
      applied: z.boolean().describe('False when the Connection is not attached: the filters wait for the next attach.'),
      results: z.array(subscriptionView).describe('One for each filter asked for, in that order.'),
    })
    .meta({
      id: 'SubscriptionResults',
      examples: [
        { applied: true, results: [{ ...EXAMPLE, granted: { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' } }] },
      ],
    }),
);

export const subscriptionList = lazily(() =>
  z.object({ subscriptions: z.array(subscriptionView) }).meta({
    id: 'SubscriptionList',
    examples: [{ subscriptions: [{ ...EXAMPLE, granted: { qos: 1, reasonCode: 1, reason: 'Granted QoS 1' } }] }],
  }),
);

export type SubscriptionRequest = z.output<typeof subscriptionRequest>;
export type SubscriptionView = z.output<typeof subscriptionView>;
export type Granted = z.output<typeof granted>;
