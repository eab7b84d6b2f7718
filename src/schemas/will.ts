import { z } from 'zod';
import { MAX_FOUR_BYTE_INTEGER } from '../mqtt/limits.ts';
import { flag, integer, payload, payloadEncoding, publishProperties, qos, text } from './fields.ts';
import { lazily } from './lazily.ts';

/** The Will Message: what the broker publishes for a client that is gone without a DISCONNECT. [MQTT 5.0 §3.1.2.5] */
export const will = lazily(() =>
  z
    .strictObject(
      {
        topic: text('The Will Topic is a string [MQTT-3.1.3-11]')
          .describe('Will Topic: a Topic Name of 1–65535 bytes, no wildcards. [MQTT-3.1.3-11] [MQTT-3.3.2-2]')
          .meta({ examples: ['plant/7/state'] }),
        payload: payload.optional().meta({ examples: ['offline'] }),
        encoding: payloadEncoding.default('utf8').describe('How `payload` is written; default utf8.'),
        qos: qos.default(0).describe('Will QoS; default 0. [MQTT-3.1.2-12]'),
        retain: flag('Will Retain is true or false [MQTT 5.0 §3.1.2.7]')
          .default(false)
          .describe('Will Retain; default false. [MQTT 5.0 §3.1.2.7]'),
        delayInterval: integer(
          0,
          MAX_FOUR_BYTE_INTEGER,
          'The Will Delay Interval is a whole number of seconds from 0 to 4294967295 [MQTT 5.0 §3.1.3.2.2]',
        )
          .optional()
          .describe(
            'MQTT 5.0; seconds the broker waits before it publishes the Will, 0–4294967295; default 0. [MQTT 5.0 §3.1.3.2.2]',
          )
          .meta({ examples: [30], default: 0 }),
        ...publishProperties.unwrap().shape,
      },
      { error: 'The Will is an object with a `topic`' },
    )
    .describe('The Will Message; its payload is at most 65535 bytes. [MQTT 5.0 §3.1.2.5]')
    .meta({
      id: 'Will',
      examples: [{ topic: 'plant/7/state', payload: 'offline', qos: 1, retain: true, delayInterval: 30 }],
    }),
);
