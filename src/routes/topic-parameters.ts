/** What the path, the query and the headers of `/v1/topics` say of a message. */
import { z } from 'zod';
import type { PublishRequest } from '../bridge/facade.ts';
import { type Fault, Problem } from '../errors/problem.ts';
import { isUtf8Text } from '../mqtt/payload.ts';
import { brokerParameter } from '../schemas/common.ts';
import { invalid } from '../schemas/faults.ts';
import { publishProperties } from '../schemas/fields.ts';
import { lazily } from '../schemas/lazily.ts';
import { publishMessage } from '../schemas/message.ts';
import { validateOutgoing } from '../schemas/message-rules.ts';
import { ownSentence } from '../schemas/sentences.ts';
import { fingerprintOf, preferenceHeaders } from './publish-preferences.ts';

const PREFIX = '/v1/topics/';
/** What clients send as Content-Type without knowing what the body is. */
const MEANINGLESS_TYPES = /^(application\/x-www-form-urlencoded|application\/octet-stream)\b/i;

const inQuery = {
  topic: z
    .string()
    .describe('The Topic Name.')
    .meta({ examples: ['plant/7/cmd'] }),
};

/** Decimal text as a number; the rest is left for the schema to refuse. */
function numeric<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess(
    (given) => (typeof given === 'string' && /^\d{1,15}(\.\d{1,6})?$/.test(given) ? Number(given) : given),
    schema,
  );
}

export const publishByPath = lazily(() => {
  const message = publishMessage.unwrap();
  const { userProperties: _asObject, ...properties } = publishProperties.unwrap().shape;
  return z.strictObject({
    broker: brokerParameter.unwrap().optional().describe('The broker profile; default `default`.'),
    qos: numeric(message.shape.qos.unwrap()).optional().describe('QoS; default 0 for POST, 1 for PUT and DELETE.'),
    timeout: numeric(message.shape.timeout.unwrap())
      .optional()
      .describe('Seconds to wait for the outcome, above 0 and at most 60; default 5.'),
    ...properties,
    payloadFormatIndicator: numeric(properties.payloadFormatIndicator.unwrap()).optional(),
    messageExpiryInterval: numeric(properties.messageExpiryInterval.unwrap()).optional(),
    userProperty: z
      .preprocess((given) => (typeof given === 'string' ? [given] : given), z.array(z.string()))
      .optional()
      .describe('A User Property as `name=value`; may be repeated.')
      .meta({ examples: [['unit=celsius']] }),
  });
});
export const publishByQuery = lazily(() => z.strictObject({ ...inQuery, ...publishByPath.unwrap().shape }));

export const readByPath = lazily(() => z.strictObject({ broker: brokerParameter }));
export const readByQuery = lazily(() => z.strictObject({ ...inQuery, broker: brokerParameter }));

type PublishQuery = z.output<typeof publishByPath> & { topic?: string };
type Headers = Readonly<Record<string, string | string[] | undefined>>;

const HEADER_NAMES: Readonly<Record<string, keyof z.output<typeof publishByPath>>> = {
  'mqtt-broker': 'broker',
  'mqtt-qos': 'qos',
  'mqtt-timeout': 'timeout',
  'mqtt-payload-format-indicator': 'payloadFormatIndicator',
  'mqtt-message-expiry-interval': 'messageExpiryInterval',
  'mqtt-content-type': 'contentType',
  'mqtt-response-topic': 'responseTopic',
  'mqtt-correlation-data': 'correlationData',
  'mqtt-user-property': 'userProperty',
};
/** A header carries ASCII only, so what may be any text is percent-encoded in one. */
const PERCENT_ENCODED: ReadonlySet<string> = new Set(['responseTopic', 'contentType', 'broker']);

export const publishHeaders = lazily(() => {
  const parameterHeaders = Object.fromEntries(
    Object.entries(HEADER_NAMES).map(([header, name]) => [
      header,
      z
        .string()
        .optional()
        .describe(`The same as \`${name}\` in the query${encodingNote(name)}.`),
    ]),
  );
  return z
    .looseObject({ ...parameterHeaders, ...preferenceHeaders.shape })
    .describe('Parameters as headers; the query wins. And how to be answered.');
});

function encodingNote(name: string): string {
  if (name === 'userProperty') return ', name and value percent-encoded; may be repeated, or be a list with commas';
  return PERCENT_ENCODED.has(name) ? ', percent-encoded' : '';
}

/** The topic of a request: from the raw path, segment by segment, so that `%2F` and empty segments keep their meaning. */
export function topicOf(rawUrl: string, query: object): string {
  if ('topic' in query && typeof query.topic === 'string') return query.topic;
  const path = rawUrl.split(/[?#]/, 1)[0] ?? '';
  try {
    return path.slice(PREFIX.length).split('/').map(decodeURIComponent).join('/');
  } catch {
    throw new Problem('invalid-request', { detail: 'The topic has broken percent-encoding.' });
  }
}

export interface TopicPublish {
  broker: string;
  request: PublishRequest;
  /** Of all that makes it another publish: how long the caller waits does not. */
  fingerprint: () => string;
}

/** A message to publish, from all that a request says. Throws `invalid-request` with every fault. */
export function readPublish(
  request: { rawUrl: string; query: PublishQuery; headers: Headers; body: Uint8Array },
  { retain, defaultQos, maxPayload }: { retain: boolean; defaultQos: 0 | 1; maxPayload: number },
): TopicPublish {
  const given = { ...fromHeaders(request.headers), ...request.query };
  const { topic: _topic, broker = 'default', qos = defaultQos, timeout, userProperty, ...rest } = given;
  const contentType = rest.contentType ?? meaningfulType(request.headers['content-type']);
  const properties = {
    ...rest,
    ...(contentType === undefined ? {} : { contentType }),
    ...(userProperty === undefined ? {} : { userProperties: groupUserProperties(userProperty) }),
  };
  const document = {
    topic: topicOf(request.rawUrl, request.query),
    qos,
    retain,
    ...(timeout === undefined ? {} : { timeout }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
  };
  const { timeout: seconds, ...message } = asParameters(() => validateOutgoing(document, { maxPayload }));
  if (message.properties?.payloadFormatIndicator === 1 && !isUtf8Text(request.body)) {
    throw invalid([
      { pointer: '?payloadFormatIndicator', detail: 'The body is not UTF-8.', reference: 'MQTT 5.0 §3.3.2.3.2' },
    ]);
  }
  const { payload: _none, ...described } = message;
  return {
    broker,
    request: { message: { ...message, payload: request.body }, timeoutMs: seconds * 1000 },
    fingerprint: () => fingerprintOf({ broker, ...described }, request.body),
  };
}

function meaningfulType(contentType: string | string[] | undefined): string | undefined {
  return typeof contentType === 'string' && !MEANINGLESS_TYPES.test(contentType) ? contentType : undefined;
}

function fromHeaders(headers: Headers): Partial<z.output<typeof publishByPath>> {
  const found: Record<string, unknown> = {};
  const faults: Fault[] = [];
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith('mqtt-') || value === undefined) continue;
    const name = HEADER_NAMES[header];
    if (name === undefined) faults.push({ pointer: `?${header}`, detail: `There is no header "${header}" here.` });
    else found[name] = decodeHeader(name, String(value));
  }
  const parsed = publishByPath.safeParse(found, { error: ownSentence });
  for (const { path, message } of parsed.error?.issues ?? []) {
    faults.push({ pointer: `?${path.join('/')}`, detail: `${message}.` });
  }
  if (faults.length > 0 || !parsed.success) throw invalid(faults);
  return parsed.data;
}

function decodeHeader(name: string, value: string): string | string[] {
  if (name === 'userProperty') return value.split(',').map((item) => item.trim());
  if (!PERCENT_ENCODED.has(name)) return value;
  return decodePercent(value, name);
}

function groupUserProperties(pairs: readonly string[]): Record<string, string[]> {
  const grouped = new Map<string, string[]>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at === -1) throw invalid([{ pointer: '?userProperty', detail: `"${pair}" is not name=value.` }]);
    const name = decodePercent(pair.slice(0, at), 'userProperty');
    const value = decodePercent(pair.slice(at + 1), 'userProperty');
    grouped.set(name, [...(grouped.get(name) ?? []), value]);
  }
  return Object.fromEntries(grouped);
}

function decodePercent(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid([{ pointer: `?${name}`, detail: 'The percent-encoding is broken.' }]);
  }
}

/** The rules speak of a document; here its members are parameters. */
function asParameters<T>(validate: () => T): T {
  try {
    return validate();
  } catch (error) {
    if (!(error instanceof Problem) || error.details.errors === undefined) throw error;
    throw invalid(
      error.details.errors.map((fault) => ({
        ...fault,
        pointer: `?${fault.pointer.replace(/^\/(properties\/)?/, '')}`,
      })),
    );
  }
}
