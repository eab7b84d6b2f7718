import { z } from 'zod';
import { flag, payload, payloadEncoding, publishProperties, qos, text } from './fields.ts';
import { lazily } from './lazily.ts';

export const DEFAULT_PUBLISH_TIMEOUT = 5;
export const MAX_PUBLISH_TIMEOUT = 60;
/** Messages in one batch. */
export const MAX_BATCH = 1000;

const TIMEOUT = '`timeout` is a number of seconds above 0 and at most 60';

const EXAMPLE = { topic: 'plant/7/cmd', payload: 'start', qos: 1 };

export const publishMessage = lazily(() =>
  z
    .strictObject(
      {
        topic: text('The Topic Name is a string [MQTT-3.3.2-1]')
          .describe('Topic Name, 1–65535 bytes, no wildcards. [MQTT-3.3.2-2]')
          .meta({ examples: ['plant/7/cmd'] }),
        payload: payload.optional(),
        encoding: payloadEncoding.default('utf8').describe('How `payload` is written; default utf8.'),
        qos: qos.default(0).describe('QoS; default 0. [MQTT 5.0 §3.3.1.2]'),
        retain: flag('RETAIN is true or false [MQTT 5.0 §3.3.1.3]')
          .default(false)
          .describe('Retain: the broker keeps the message for later subscribers; default false. [MQTT-3.3.1-5]'),
        timeout: z
          .number({ error: TIMEOUT })
          .gt(0, { error: TIMEOUT })
          .max(MAX_PUBLISH_TIMEOUT, { error: TIMEOUT })
          .default(DEFAULT_PUBLISH_TIMEOUT)
          .describe('Seconds to wait for the outcome, above 0 and at most 60; default 5.'),
        properties: publishProperties.optional().describe('PUBLISH properties; MQTT 5.0 only. [MQTT 5.0 §3.3.2.3]'),
      },
      { error: 'A message is an object with a `topic`' },
    )
    .describe('A message to publish.')
    .meta({ id: 'PublishMessage', examples: [EXAMPLE] }),
);

/** The body of a publish: one message, or a batch. Its messages are validated one by one with `validateOutgoing`. */
export const publishBody = lazily(() =>
  z
    .union([publishMessage.unwrap(), z.array(publishMessage).min(1).max(MAX_BATCH)])
    .describe('One message, or an array of 1–1000 that are published in this order.')
    .meta({ examples: [EXAMPLE, [EXAMPLE, { ...EXAMPLE, payload: 'stop' }]] }),
);

const RESULT_EXAMPLE = { qos: 1, reasonCode: 0, reason: 'Success', matched: null } as const;

export const publishResult = lazily(() =>
  z
    .object({
      qos,
      reasonCode: z.int().describe('PUBACK’s or PUBCOMP’s reason code; 0 at QoS 0 and on 3.x.'),
      reason: z.string().describe('The reason code’s name, or the broker’s Reason String.'),
      matched: z
        .literal(false)
        .nullable()
        .describe('false: the broker said that no subscriber matched (0x10); null: unknown.'),
    })
    .meta({ id: 'PublishResult', examples: [RESULT_EXAMPLE] }),
);

export const batchFailure = lazily(() =>
  z
    .object({
      status: z.int().describe('The HTTP status that this message alone would have had.'),
      type: z.string(),
      title: z.string(),
      detail: z.string().optional(),
      reasonCode: z.int().optional(),
      reason: z.string().optional(),
      errors: z
        .array(z.object({ pointer: z.string(), detail: z.string(), reference: z.string().optional() }))
        .optional(),
    })
    .meta({ id: 'BatchFailure' }),
);

export const batchResult = lazily(() =>
  z
    .object({
      results: z
        .array(z.union([publishResult.unwrap(), batchFailure.unwrap()]))
        .describe('Per message, in the batch’s order.'),
    })
    .meta({
      id: 'BatchResult',
      examples: [
        {
          results: [
            RESULT_EXAMPLE,
            { status: 422, type: '/problems/broker-refused', title: 'The broker refused', reasonCode: 135 },
          ],
        },
      ],
    }),
);

/** A message as a caller writes it. */
export type PublishMessageInput = z.input<typeof publishMessage>;
export type PublishMessage = z.output<typeof publishMessage>;
