import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import * as common from '../../../src/schemas/common.ts';
import * as connection from '../../../src/schemas/connection.ts';
import * as patch from '../../../src/schemas/connection-patch.ts';
import * as view from '../../../src/schemas/connection-view.ts';
import * as message from '../../../src/schemas/message.ts';
import * as queued from '../../../src/schemas/queued-message.ts';
import * as subscription from '../../../src/schemas/subscription.ts';

const requests: [string, z.ZodType][] = [
  ['connectionParameters', connection.connectionParameters.unwrap()],
  ['connectionPatch', patch.connectionPatch.unwrap()],
  ['publishBody', message.publishBody.unwrap()],
  ['subscriptionBody', subscription.subscriptionBody.unwrap()],
  ['messagesQuery', queued.messagesQuery.unwrap()],
  ['acknowledgeQuery', queued.acknowledgeQuery.unwrap()],
  ['connectionPath', common.connectionPath],
];

const responses: [string, z.ZodType][] = [
  ['problem', common.problem.unwrap()],
  ['connectionView', view.connectionView.unwrap()],
  ['connectionList', view.connectionList.unwrap()],
  ['publishResult', message.publishResult.unwrap()],
  ['batchResult', message.batchResult.unwrap()],
  ['messagesPage', queued.messagesPage.unwrap()],
  ['subscriptionResults', subscription.subscriptionResults.unwrap()],
  ['subscriptionList', subscription.subscriptionList.unwrap()],
];

interface JsonSchema {
  description?: string;
  additionalProperties?: unknown;
  properties?: Record<string, JsonSchema>;
  $defs?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  examples?: unknown[];
}

describe.each(requests)('the request %s', (_, schema) => {
  const json = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema;

  test('describes every member, and knows no others', () => {
    const undescribed = objectsIn(json).flatMap(({ properties = {} }) =>
      Object.entries(properties).flatMap(([name, member]) => (describes(member, json) ? [] : [name])),
    );
    expect(undescribed).toEqual([]);
    for (const { additionalProperties } of objectsIn(json)) expect(additionalProperties).toBe(false);
  });

  test('has examples, and they are valid', () => {
    const { examples = [] } = schema.meta() ?? {};
    expect(examples).not.toEqual([]);
    for (const example of examples as unknown[])
      expect(schema.safeParse(stringified(example, schema)).error).toBeUndefined();
  });
});

describe.each(responses)('the response %s', (_, schema) => {
  test('has a JSON Schema', () => {
    expect(z.toJSONSchema(schema, { io: 'output' })).toHaveProperty('$schema');
  });

  test('has examples, and they can be answered', () => {
    const { examples = [] } = schema.meta() ?? {};
    expect(examples).not.toEqual([]);
    for (const example of examples as unknown[]) expect(z.safeEncode(schema, example).data).toEqual(example);
  });
});

test('the ranges of the contract are in the JSON Schema', () => {
  const json = z.toJSONSchema(connection.connectionParameters, { io: 'input' }) as {
    $defs: Record<string, JsonSchema>;
  };
  expect(json.$defs.ConnectionParameters?.properties).toMatchObject({
    keepAlive: { type: 'integer', minimum: 0, maximum: 65_535, default: 60 },
    protocolVersion: { enum: ['5.0', '3.1.1', '3.1'], default: '5.0' },
    cleanStart: { type: 'boolean' },
    properties: { properties: { receiveMaximum: { minimum: 1, maximum: 65_535 } } },
  });
  expect(json.$defs.SubscriptionRequest?.properties).toMatchObject({
    subscriptionIdentifier: { minimum: 1, maximum: 268_435_455 },
    retainHandling: { enum: [0, 1, 2], default: 0 },
  });
});

function objectsIn(json: JsonSchema): JsonSchema[] {
  const parts = [json.properties, json.$defs].flatMap((members) => Object.values(members ?? {}));
  const nested = [...parts, ...(json.anyOf ?? []), ...(json.items === undefined ? [] : [json.items])];
  return [...(json.properties === undefined ? [] : [json]), ...nested.flatMap(objectsIn)];
}

/** A member is described where it stands, in what it refers to, or in its alternatives. */
function describes(member: JsonSchema & { $ref?: string }, root: JsonSchema): boolean {
  const name = member.$ref?.split('/').at(-1);
  const target = name === undefined ? undefined : root.$defs?.[name];
  return (
    member.description !== undefined ||
    target?.description !== undefined ||
    (member.anyOf ?? []).some((alternative) => describes(alternative, root))
  );
}

/** A query's values are text on the wire. */
function stringified(example: unknown, schema: z.ZodType): unknown {
  if (schema !== queued.messagesQuery) return example;
  return Object.fromEntries(Object.entries(example as object).map(([name, value]) => [name, String(value)]));
}
