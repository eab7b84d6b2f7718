import { z } from 'zod';
import type { IncomingMessage, MessageProperties } from '../mqtt/message.ts';
import { decodePayload, encodeBase64, type ReadEncoding } from '../mqtt/payload.ts';
import { integerParameter } from './common.ts';
import { connectionState, stateReason } from './connection-view.ts';
import { payloadEncoding, publishProperties, qos } from './fields.ts';
import { lazily } from './lazily.ts';

export const readEncoding = z
  .enum(['auto', 'utf8', 'base64', 'json'])
  .describe('How payloads are written: auto (default) is utf8 where the bytes are UTF-8, else base64.');

export const messagesQuery = lazily(() =>
  z
    .strictObject({
      after: z.string().min(1).optional().describe('Cursor: only messages after this one.'),
      limit: integerParameter(1, 1000, 100, 'limit').describe('Messages at most, 1–1000; default 100.'),
      wait: integerParameter(0, 60, 0, 'wait').describe(
        'Long poll: seconds to wait for a first message, 0–60; default 0. A cloud function waits 25 at most.',
      ),
      drain: z
        .enum(['true', 'false'])
        .default('true')
        .describe(
          'Where the Connection is parked and what is queued does not fill the page: attach first, and take in what the broker kept; `false` does without.',
        ),
      encoding: readEncoding.default('auto'),
      topic: z
        .string()
        .optional()
        .describe(
          'Topic Filter: only what matches; scans at most 10,000 entries, and may answer empty with a new `next`.',
        ),
    })
    .meta({ examples: [{ limit: 10, wait: 20 }] }),
);

export const acknowledgeQuery = lazily(() =>
  z
    .strictObject({
      through: z.string().min(1).describe('Cursor: removes everything up to and including this message.'),
      topic: z.string().optional().describe('Topic Filter: removes only what matches.'),
    })
    .meta({ examples: [{ through: '1' }] }),
);

export const queuedMessage = lazily(() =>
  z
    .object({
      id: z.string().describe('The cursor: names this message in its queue.'),
      topic: z.string(),
      payload: z.unknown().describe('A string, or with encoding json any JSON value; null for an `oversize` record.'),
      encoding: payloadEncoding.describe(
        'How `payload` is written: base64 where the bytes are not what was asked for.',
      ),
      qos: qos.describe('The QoS that the broker delivered it at.'),
      retain: z.boolean().describe('RETAIN as delivered. [MQTT 5.0 §3.3.1.3]'),
      dup: z.boolean().describe('DUP as delivered. [MQTT 5.0 §3.3.1.1]'),
      receivedAt: z.string().describe('RFC 3339: when the bridge received it.'),
      properties: z
        .object({
          ...publishProperties.unwrap().shape,
          userProperties: z.record(z.string(), z.array(z.string())).optional(),
        })
        .optional()
        .describe('PUBLISH properties; absent on 3.x.'),
      subscriptionIdentifiers: z.array(z.int()).optional(),
      deliveryCount: z.int().describe('How often it was handed to a consumer by a claim or a push.'),
      oversize: z
        .int()
        .optional()
        .describe('Bytes of a payload that was longer than the bridge keeps; the payload is gone.'),
    })
    .meta({
      id: 'QueuedMessage',
      examples: [
        {
          id: '1',
          topic: 'plant/7/temperature',
          payload: '21.5',
          encoding: 'utf8',
          qos: 1,
          retain: false,
          dup: false,
          receivedAt: '2026-11-22T16:55:00.000Z',
          deliveryCount: 0,
        },
      ],
    }),
);

export const messagesPage = lazily(() =>
  z
    .object({
      messages: z.array(queuedMessage),
      next: z.string().nullable().describe('`after` for the next page; null on a queue that was empty from the start.'),
      remaining: z.int().describe('Messages after the last one scanned.'),
      dropped: z.int().describe('Messages that limits removed or turned away since creation.'),
      complete: z
        .boolean()
        .optional()
        .describe('After a drain: whether all that the broker kept was taken in; absent when there was none.'),
      connection: z
        .object({ state: connectionState, since: z.string(), reason: stateReason.nullable() })
        .describe('The Connection’s state: empty is not the same as down.'),
    })
    .meta({
      id: 'MessagesPage',
      examples: [
        {
          messages: [],
          next: null,
          remaining: 0,
          dropped: 0,
          connection: { state: 'online', since: '2026-11-22T16:55:00.000Z', reason: null },
        },
      ],
    }),
);

export type MessagesQuery = z.output<typeof messagesQuery>;
export type QueuedMessageView = z.output<typeof queuedMessage>;
export type MessagePropertiesView = NonNullable<QueuedMessageView['properties']>;

/**
 * A message as the API answers it. A payload that is not what `encoding` asks for is written as base64, and the
 * answer's `encoding` says so.
 */
export function presentMessage(
  message: IncomingMessage,
  id: string,
  deliveryCount: number,
  encoding: ReadEncoding,
): QueuedMessageView {
  const { properties, subscriptionIdentifiers, oversize } = message;
  const written = oversize === undefined ? decodePayload(message.payload, encoding) : OVERSIZE;
  return {
    id,
    topic: message.topic,
    payload: written.payload,
    encoding: written.encoding,
    qos: message.qos,
    retain: message.retain,
    dup: message.dup,
    receivedAt: new Date(message.receivedAt).toISOString(),
    ...(properties === undefined ? {} : { properties: presentProperties(properties) }),
    ...(subscriptionIdentifiers === undefined ? {} : { subscriptionIdentifiers }),
    deliveryCount,
    ...(oversize === undefined ? {} : { oversize }),
  };
}

const OVERSIZE = { payload: null, encoding: 'json' } as const;

function presentProperties({ correlationData, ...textual }: MessageProperties): MessagePropertiesView {
  return correlationData === undefined ? textual : { ...textual, correlationData: encodeBase64(correlationData) };
}
