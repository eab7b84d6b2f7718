import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PROTOCOL_VERSIONS, type ProtocolVersion } from '../../../src/mqtt/protocol-version.ts';
import { faultsOf, validate } from './validate.ts';

type Json = Record<string, unknown>;

/** Well-formed text without NUL: all that MQTT says of a string; of up to four bytes a character. */
const text = (maxLength = 40) => fc.string({ unit: 'binary', maxLength }).map((given) => given.replaceAll('\0', ''));
const orAbsent = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
/** The ends of a range are what is most often wrong. */
const integer = (min: number, max: number) => fc.oneof(fc.constantFrom(min, max), fc.integer({ min, max }));
const uint32 = integer(0, 0xffff_ffff);
const base64 = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const userProperties = fc.dictionary(text(10), fc.oneof(text(10), fc.array(text(10), { maxLength: 3 })), {
  maxKeys: 3,
});

const level = text(8).map((given) => given.replace(/[+#/$]/g, ''));
const topicName = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => `t${levels.join('/')}`);
const ownFilter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, deep]) => [...levels, ...(deep ? ['#'] : [])].join('/') || '+');
const filter = fc.oneof(
  ownFilter,
  fc.tuple(level, ownFilter).map(([name, own]) => `$share/g${name}/${own}`),
);

const publishProperties = {
  messageExpiryInterval: orAbsent(uint32),
  contentType: orAbsent(text()),
  responseTopic: orAbsent(topicName),
  correlationData: orAbsent(base64),
  userProperties: orAbsent(userProperties),
};

const payload = fc.oneof(
  fc.record({ payload: text(), payloadFormatIndicator: fc.constantFrom(0, 1, undefined) }),
  fc.record({
    payload: base64,
    encoding: fc.constant('base64'),
    payloadFormatIndicator: fc.constantFrom(0, undefined),
  }),
  fc.record({ payload: fc.jsonValue(), encoding: fc.constant('json'), payloadFormatIndicator: fc.constant(undefined) }),
);

function will(version: ProtocolVersion) {
  const common = { topic: topicName, qos: fc.constantFrom(0, 1, 2), retain: orAbsent(fc.boolean()) };
  const own = version === '5.0' ? { ...publishProperties, delayInterval: orAbsent(uint32) } : {};
  return fc
    .tuple(fc.record({ ...common, ...own }), payload)
    .map(([members, { payloadFormatIndicator, ...written }]) => ({
      ...members,
      ...written,
      ...(version === '5.0' ? { payloadFormatIndicator } : {}),
    }));
}

function subscription(version: ProtocolVersion) {
  const options = {
    noLocal: orAbsent(fc.boolean()),
    retainAsPublished: orAbsent(fc.boolean()),
    retainHandling: fc.constantFrom(0, 1, 2, undefined),
    subscriptionIdentifier: orAbsent(integer(1, 268_435_455)),
  };
  return fc
    .record({ filter, qos: fc.constantFrom(0, 1, 2), ...(version === '5.0' ? options : {}) })
    .map((given: Json) => (String(given.filter).startsWith('$share/') ? { ...given, noLocal: undefined } : given));
}

/** Documents in which every member is in its range, for one version. */
function documentOf(protocolVersion: ProtocolVersion): fc.Arbitrary<Json> {
  const ofVersion: Record<string, fc.Arbitrary<unknown>> = protocolVersion === '5.0'
    ? {
        cleanStart: orAbsent(fc.boolean()),
        sessionExpiryInterval: orAbsent(fc.oneof(uint32, fc.constant('never'))),
        properties: orAbsent(
          fc.record({
            receiveMaximum: orAbsent(integer(1, 65_535)),
            maximumPacketSize: orAbsent(integer(1, 0xffff_ffff)),
            requestResponseInformation: orAbsent(fc.boolean()),
            requestProblemInformation: orAbsent(fc.boolean()),
            userProperties: orAbsent(userProperties),
          }),
        ),
      }
    : { cleanSession: orAbsent(fc.boolean()) };
  const credentials = fc.record({
    username: text(),
    password: fc.oneof(
      text(),
      base64.map((bytes) => ({ base64: bytes })),
      fc.constant(undefined),
    ),
  });
  return fc
    .tuple(
      fc.record({
        protocolVersion: fc.constant(protocolVersion),
        // 23 bytes are what MQTT 3.1 allows.
        clientId: text(5).map((given) => `c${given}`),
        keepAlive: orAbsent(integer(0, 65_535)),
        connectTimeout: orAbsent(integer(1, 120)),
        drainInterval: orAbsent(integer(1, 86_400)),
        will: orAbsent(will(protocolVersion)),
        subscriptions: orAbsent(
          fc.uniqueArray(subscription(protocolVersion), { maxLength: 4, selector: (given) => given.filter }),
        ),
        queue: orAbsent(fc.record({ maxMessages: integer(1, 100_000_000), maxAge: integer(1, 315_360_000) })),
        ...ofVersion,
      }),
      orAbsent(credentials),
    )
    .map(([document, given]) => withoutAbsent({ ...document, ...given }) as Json);
}

/** As JSON has it: what is undefined is not there. */
function withoutAbsent(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutAbsent);
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (member === undefined ? [] : [[name, withoutAbsent(member)]])),
  );
}

/** The document with one member set. A Will and a subscription are made for it where there is none. */
function withMember(document: Json, pointer: string, value: unknown): Json {
  const changed = structuredClone(document);
  const steps = pointer.split('/').slice(1);
  if (steps[0] === 'will') changed.will ??= { topic: 'w' };
  if (steps[0] === 'subscriptions') changed.subscriptions = [{ filter: 'f' }];
  let parent = changed;
  for (const step of steps.slice(0, -1)) {
    parent[step] ??= {};
    parent = parent[step] as Json;
  }
  parent[steps.at(-1) ?? ''] = value;
  return changed;
}

const NOT_INTEGERS = [1.5, '1', true, null, []];
const NOT_STRINGS = [5, true, null, [], {}];
const BAD_TEXT = [...NOT_STRINGS, 'a\0', '\ud800', 'ü'.repeat(32_768)];
const BAD_TOPIC = ['', 'a/+', '#', ...BAD_TEXT];
const BAD_BASE64 = [5, 'a', 'YQ', 'YQ=', 'Y Q==', '_w==', Buffer.alloc(65_536).toString('base64')];
const outside = (min: number, max: number) => [min - 1, max + 1, ...NOT_INTEGERS];

/** Values that no document may have at that place, on all versions. */
const BAD: Readonly<Record<string, readonly unknown[]>> = {
  '/keepAlive': outside(0, 65_535),
  '/connectTimeout': outside(1, 120),
  '/drainInterval': outside(1, 86_400),
  '/protocolVersion': ['5', 5, '3.0', '', null],
  '/clientId': [...NOT_STRINGS, 'a\0', '\udc00'],
  '/username': BAD_TEXT,
  '/will': [5, 'a', []],
  '/will/topic': BAD_TOPIC,
  '/will/qos': [-1, 3, '1', null],
  '/will/retain': [0, 'true', null],
  '/subscriptions': [5, {}, 'a'],
  '/subscriptions/0/filter': [...NOT_STRINGS, '', 'a/#/b', 'a+', '#a', '$share/g', '$share//a', '$share/+/a', 'a\0'],
  '/subscriptions/0/qos': [-1, 3, '1', null],
  '/queue/maxMessages': outside(1, 100_000_000),
  '/queue/maxBytes': outside(1, 1_099_511_627_776),
  '/queue/maxAge': outside(1, 315_360_000),
  '/queue/overflow': ['drop', null],
  '/surprise': [1, null, undefined],
};

/** Members of MQTT 5.0 alone: what they may be, and what not. */
const BAD_ON_5: Readonly<Record<string, { good: unknown; bad: readonly unknown[] }>> = {
  '/cleanStart': { good: true, bad: [0, 'true', null] },
  '/sessionExpiryInterval': { good: 5, bad: [...outside(0, 0xffff_ffff), 'ever'] },
  '/properties/receiveMaximum': { good: 5, bad: outside(1, 65_535) },
  '/properties/maximumPacketSize': { good: 500, bad: outside(1, 0xffff_ffff) },
  '/properties/requestResponseInformation': { good: true, bad: [1, null] },
  '/properties/requestProblemInformation': { good: false, bad: [0, null] },
  '/properties/userProperties': { good: { a: 'b' }, bad: [5, 'a', null, ['a']] },
  '/properties/userProperties/a': { good: undefined, bad: [5, null, { b: 'c' }, ['b', 5]] },
  '/will/delayInterval': { good: 0, bad: outside(0, 0xffff_ffff) },
  '/will/messageExpiryInterval': { good: 0, bad: outside(0, 0xffff_ffff) },
  '/will/payloadFormatIndicator': { good: 0, bad: [2, -1, true, null] },
  '/will/contentType': { good: 'a', bad: BAD_TEXT },
  '/will/responseTopic': { good: 'a', bad: BAD_TOPIC },
  '/will/correlationData': { good: '', bad: BAD_BASE64 },
  '/will/userProperties': { good: {}, bad: [5, null] },
  '/subscriptions/0/noLocal': { good: false, bad: [1, null] },
  '/subscriptions/0/retainAsPublished': { good: false, bad: [1, null] },
  '/subscriptions/0/retainHandling': { good: 0, bad: [3, -1, true, null] },
  '/subscriptions/0/subscriptionIdentifier': { good: 1, bad: outside(1, 268_435_455) },
};

describe.each(PROTOCOL_VERSIONS)('MQTT %s', (version) => {
  const documents = documentOf(version);
  const RUNS = { numRuns: 25 };

  test('what is in its range is accepted, and stays as it is when it is validated again', () => {
    fc.assert(
      fc.property(documents, (document) => {
        expect(faultsOf(document)).toEqual([]);
        const { parameters, warnings } = validate(document);
        const again = validate(parameters);
        expect(again.parameters).toEqual(parameters);
        // Where a User Property's only value has become an array, its pointer has one more step.
        expect(again.warnings.map(({ code }) => code)).toEqual(warnings.map(({ code }) => code));
      }),
    );
  });

  const bad = Object.entries({
    ...BAD,
    ...(version === '5.0'
      ? { '/cleanSession': [true, false], ...mapValues(BAD_ON_5, ({ bad: values }) => values) }
      : mapValues(BAD_ON_5, ({ good }) => (good === undefined ? [] : [good]))),
  });

  test.each(bad)('one fault at %s is the only one that is named', (pointer, values) => {
    if (values.length === 0) return;
    fc.assert(
      fc.property(documents, fc.constantFrom(...values), (document, value) => {
        const faults = faultsOf(withMember(document, pointer, value));
        expect(faults.map((fault) => fault.pointer)).toEqual([pointer]);
        expect(faults[0]?.detail).toMatch(/^[A-Z`"].*\.$/su);
      }),
      RUNS,
    );
  });

  test('several faults are all named', () => {
    // Not the version, by which the others are judged, nor what another of them lies in.
    const places = bad.filter(
      ([pointer, values]) =>
        values.length > 0 && !/^\/(protocolVersion|will|subscriptions)$|\/userProperties\/a$/.test(pointer),
    );
    fc.assert(
      fc.property(
        documents,
        fc.uniqueArray(fc.constantFrom(...places), { minLength: 2, maxLength: 6 }),
        (document, chosen) => {
          const subscribed = { ...document, subscriptions: [{ filter: 'f' }], will: { topic: 'w' } };
          const faulty = structuredClone<Json>(subscribed);
          for (const [pointer, [value]] of chosen) {
            const [, first = '', second = '', third] = pointer.split('/');
            if (third !== undefined) ((faulty[first] as Json)[second] as Json)[third] = value;
            else if (second !== '') faulty[first] = { ...(faulty[first] as Json | undefined), [second]: value };
            else faulty[first] = value;
          }
          expect(
            faultsOf(faulty)
              .map(({ pointer }) => pointer)
              .sort(),
          ).toEqual(chosen.map(([pointer]) => pointer).sort());
        },
      ),
      RUNS,
    );
  });
});

function mapValues<T, U>(source: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(source).map(([name, value]) => [name, map(value)]));
}
