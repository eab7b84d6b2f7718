import { z } from 'zod';
import { Problem } from '../errors/problem.ts';
import { connack } from './connack.ts';
import { lazily } from './lazily.ts';

/** Bytes of UTF-8 in an `id`: its `~base64url` form then fits into a path of 2048 characters. */
export const MAX_ID_BYTES = 1024;

/** What the ids of the bridge's own Connections begin with: no caller may use it, or sees one. */
export const RESERVED_ID_PREFIX = '$bridge/';

export function isReservedId(id: string): boolean {
  return id.startsWith(RESERVED_ID_PREFIX);
}

const fault = lazily(() =>
  z
    .object({
      pointer: z.string().describe('JSON pointer into the body, or `?name` for a parameter.'),
      detail: z.string(),
      reference: z
        .string()
        .optional()
        .describe(
          'The clause that says so: of MQTT 5.0, e.g. `MQTT-3.1.2-24`, unless it names another, e.g. `MQTT 3.1.1 [MQTT-3.1.2-22]`.',
        ),
    })
    .meta({ id: 'Fault' }),
);

/** RFC 9457 problem details; `src/errors/catalogue.ts` lists the types. */
export const problem = lazily(() =>
  z
    .object({
      type: z.string().describe('`/problems/<kebab-name>`.'),
      title: z.string(),
      status: z.int(),
      detail: z.string().optional(),
      reasonCode: z.int().optional().describe('MQTT’s reason code, when a broker’s answer is the cause.'),
      reason: z.string().optional().describe('The reason code’s name, or the broker’s Reason String.'),
      connack: connack.optional().describe('The CONNACK that refused the connection, whole.'),
      serverReference: z
        .string()
        .optional()
        .describe('Where else the broker’s DISCONNECT said to go. [MQTT 5.0 §4.11]'),
      userProperties: z
        .record(z.string(), z.array(z.string()))
        .optional()
        .describe('Those of the broker’s DISCONNECT.'),
      errors: z.array(fault).optional().describe('Every fault of the request.'),
    })
    .describe('RFC 9457 problem details.')
    .meta({
      id: 'Problem',
      examples: [
        {
          type: '/problems/invalid-request',
          title: 'The request is not valid',
          status: 400,
          detail: 'The request has 1 fault.',
          errors: [
            {
              pointer: '/will/topic',
              detail: 'The Will Topic contains the wildcard "+", which only a Topic Filter may.',
              reference: 'MQTT-3.3.2-2',
            },
          ],
        },
      ],
    }),
);

/** A Connection's id in a path, after the router's percent-decoding. Decode it with `decodeId`. */
export const connectionPath = z
  .strictObject({
    id: z
      .string()
      .min(1)
      .describe('The Connection’s id: percent-encoded UTF-8, or `~` and the base64url of its UTF-8.')
      .meta({ examples: ['plant-7', '~cGxhbnQvNw'] }),
  })
  .meta({ examples: [{ id: 'plant-7' }] });

/**
 * The id that a path segment names; the router has percent-decoded it. `~` begins the base64url form, so an id that
 * itself begins with `~` can only be written in that form. Throws `invalid-request` on what is not UTF-8 in base64url.
 */
export function decodeId(segment: string): string {
  if (!segment.startsWith('~')) return segment;
  const encoded = segment.slice(1);
  const bytes = Buffer.from(encoded, 'base64url');
  const id = bytes.toString('utf8');
  const canonical = bytes.length > 0 && bytes.toString('base64url') === encoded && Buffer.from(id).equals(bytes);
  if (canonical) return id;
  throw new Problem('invalid-request', {
    detail: 'The id after "~" is not the base64url of UTF-8 text.',
    errors: [{ pointer: '?id', detail: 'After "~" comes the unpadded base64url of the id’s UTF-8 [RFC 4648 §5].' }],
  });
}

/** The path segment that names an id: readable where no client or gateway would change it, else `~base64url`. */
export function encodeId(id: string): string {
  return /^[A-Za-z0-9_-][A-Za-z0-9._:@-]*$/.test(id)
    ? encodeURIComponent(id)
    : `~${Buffer.from(id).toString('base64url')}`;
}

/** The broker profile that a request which belongs to no Connection goes to. */
export const brokerParameter = z.string().min(1).default('default').describe('The broker profile; default `default`.');

/** A whole number in a query: decimal digits only, so that neither an empty text nor `1e2` passes as a number. */
export function integerParameter(min: number, max: number, fallback: number, name: string) {
  const sentence = `\`${name}\` is a whole number from ${min} to ${max}`;
  const number = z.int({ error: sentence }).min(min, { error: sentence }).max(max, { error: sentence });
  return z
    .preprocess((given) => (typeof given === 'string' && /^\d{1,15}$/.test(given) ? Number(given) : given), number)
    .default(fallback);
}
