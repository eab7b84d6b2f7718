/**
 * Building blocks of the schemas. Every one carries its own sentence for what is wrong, in MQTT's terms; a clause in
 * brackets at its end becomes the fault's `reference`.
 */
import { z } from 'zod';
import { MAX_FOUR_BYTE_INTEGER } from '../mqtt/limits.ts';
import type { UserProperties } from '../mqtt/message.ts';
import { lazily } from './lazily.ts';

/** A JSON integer from `min` to `max`. */
export function integer(min: number, max: number, sentence: string) {
  return z.int({ error: sentence }).min(min, { error: sentence }).max(max, { error: sentence });
}

export function text(sentence: string) {
  return z.string({ error: sentence });
}

export function flag(sentence: string) {
  return z.boolean({ error: sentence });
}

export function oneOf<const Values extends readonly (string | number)[]>(values: Values, sentence: string) {
  return z.literal(values, { error: sentence });
}

export function base64Text(sentence: string) {
  return z.string({ error: sentence }).meta({ contentEncoding: 'base64' });
}

export const qos = oneOf([0, 1, 2], 'QoS is 0, 1 or 2 [MQTT-3.3.1-4]');

export const payloadEncoding = oneOf(['utf8', 'base64', 'json'], '`encoding` is "utf8", "base64" or "json"');

export const payload = z
  .unknown()
  .describe(
    'The Application Message. A string of text with `encoding` "utf8", of base64 (RFC 4648, standard alphabet, padded) ' +
      'with "base64"; any JSON value with "json", sent as its JSON text. Absent is a payload of zero bytes.',
  )
  .meta({ examples: ['21.5'] });

const USER_PROPERTIES =
  'User Properties are an object whose values are strings, or arrays of strings for repeated names [MQTT 5.0 §1.5.7]';
const STRINGS = { type: 'array', items: { type: 'string' } } as const;

/** User Properties as a caller writes them: one value is a string, several of one name are an array. */
type UserPropertiesInput = Record<string, string | string[]>;

/**
 * Names may repeat in MQTT. Always arrays once validated. No `z.record`, which drops the name `__proto__`: MQTT has no
 * special names.
 */
export const userProperties = lazily(() =>
  (
    z.codec(
      z.unknown().meta({ type: 'object', additionalProperties: { anyOf: [{ type: 'string' }, STRINGS] } }),
      z.unknown().meta({ type: 'object', additionalProperties: STRINGS }),
      { decode: (given, { issues }) => readUserProperties(given, issues), encode: (values) => values },
    ) as z.ZodType<UserProperties, UserPropertiesInput>
  )
    .describe(
      'User Properties (MQTT 5.0): a value, or an array of values where the name repeats. Order is kept per name.',
    )
    .meta({ examples: [{ unit: 'celsius', tag: ['a', 'b'] }] }),
);

function readUserProperties(given: unknown, issues: z.core.$ZodRawIssue[]): UserProperties {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    issues.push({ code: 'custom', input: given, message: USER_PROPERTIES });
    return {};
  }
  const read = Object.entries(given).map(([name, value]): [string, string[]] => {
    const values: unknown = typeof value === 'string' ? [value] : value;
    if (isStrings(values)) return [name, values];
    issues.push({ code: 'custom', input: value, path: [name], message: USER_PROPERTIES });
    return [name, []];
  });
  return Object.fromEntries(read);
}

function isStrings(values: unknown): values is string[] {
  return Array.isArray(values) && values.every((value) => typeof value === 'string');
}

/** The PUBLISH properties that an application sets, in a message and in a Will alike. [MQTT 5.0 §3.3.2.3, §3.1.3.2] */
export const publishProperties = lazily(() =>
  z.strictObject(
    {
      payloadFormatIndicator: oneOf([0, 1], 'The Payload Format Indicator is 0 or 1 [MQTT 5.0 §3.3.2.3.2]')
        .exactOptional()
        .describe('0 (MQTT’s default): unspecified bytes; 1: UTF-8 text. [MQTT 5.0 §3.3.2.3.2]'),
      messageExpiryInterval: integer(
        0,
        MAX_FOUR_BYTE_INTEGER,
        'The Message Expiry Interval is a whole number of seconds from 0 to 4294967295 [MQTT 5.0 §3.3.2.3.3]',
      )
        .exactOptional()
        .describe('Seconds that the message lives at the broker, 0–4294967295; absent: for ever. [MQTT 5.0 §3.3.2.3.3]')
        .meta({ examples: [60] }),
      contentType: text('The Content Type is a string [MQTT-3.3.2-19]')
        .exactOptional()
        .describe('What the payload is, usually a MIME type; at most 65535 bytes. [MQTT 5.0 §3.3.2.3.9]')
        .meta({ examples: ['text/plain'] }),
      responseTopic: text('The Response Topic is a string [MQTT-3.3.2-13]')
        .exactOptional()
        .describe('The Topic Name to answer to; no wildcards. [MQTT-3.3.2-14]')
        .meta({ examples: ['replies/plant-7'] }),
      correlationData: base64Text('Correlation Data is a string of base64 [MQTT 5.0 §3.3.2.3.6]')
        .exactOptional()
        .describe('Base64 of at most 65535 bytes, which an answer repeats. [MQTT 5.0 §3.3.2.3.6]')
        .meta({ examples: ['cmVxLTE='] }),
      userProperties: userProperties.exactOptional(),
    },
    { error: 'The properties of a message are an object' },
  ),
);
