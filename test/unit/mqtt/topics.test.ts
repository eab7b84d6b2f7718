import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkTopicFilter,
  checkTopicName,
  compileFilter,
  isShared,
  parseShared,
  topicMatches,
} from '../../../src/mqtt/topics.ts';

describe('a Topic Name', () => {
  test.each(['a', '/', 'a/b', '/a', 'a/', '//', ' ', '$SYS/x', 'ü/€/🌡', 'a'.repeat(65_535)])(
    '%.20j is valid',
    (topic) => {
      expect(checkTopicName(topic)).toBeNull();
    },
  );

  test.each([
    ['', 'MQTT-4.7.3-1'],
    ['#', 'MQTT-3.3.2-2'],
    ['a/+/b', 'MQTT-3.3.2-2'],
    ['a+', 'MQTT-3.3.2-2'],
    ['a\0', 'MQTT-1.5.4-2'],
    ['\ud800', 'MQTT-1.5.4-1'],
    ['a'.repeat(65_536), 'MQTT 5.0 §1.5.4'],
  ])('%.20j is not: %s', (topic, clause) => {
    expect(checkTopicName(topic)?.clause).toBe(clause);
  });
});

describe('a Topic Filter', () => {
  test.each([
    '#',
    '+',
    '/',
    '/#',
    'a/#',
    '+/+',
    '+/b/#',
    'a//+',
    '$SYS/#',
    '$share',
    '$sharea/b',
    '$share/g/a',
    '$share/g/#',
    '$share/g//',
    '$share/g/+/b',
    '$share/g/$SYS/#',
  ])('%j is valid', (filter) => {
    expect(checkTopicFilter(filter)).toBeNull();
  });

  test.each([
    ['', 'MQTT-4.7.3-1'],
    ['a/#/b', 'MQTT-4.7.1-1'],
    ['#/', 'MQTT-4.7.1-1'],
    ['a#', 'MQTT-4.7.1-1'],
    ['a/b#', 'MQTT-4.7.1-1'],
    ['##', 'MQTT-4.7.1-1'],
    ['+#', 'MQTT-4.7.1-1'],
    ['a+', 'MQTT-4.7.1-2'],
    ['+a/b', 'MQTT-4.7.1-2'],
    ['a/b+/c', 'MQTT-4.7.1-2'],
    ['++', 'MQTT-4.7.1-2'],
    ['$share/', 'MQTT-4.8.2-1'],
    ['$share//a', 'MQTT-4.8.2-1'],
    ['$share/g', 'MQTT-4.8.2-2'],
    ['$share/g/', 'MQTT-4.8.2-2'],
    ['$share/+/a', 'MQTT-4.8.2-2'],
    ['$share/g#/a', 'MQTT-4.8.2-2'],
    ['$share/g/a/#/b', 'MQTT-4.7.1-1'],
    ['$share/g/a+', 'MQTT-4.7.1-2'],
    ['a\0/#', 'MQTT-1.5.4-2'],
    ['$share/g\0/a', 'MQTT-1.5.4-2'],
    ['a/\ud800', 'MQTT-1.5.4-1'],
    ['a'.repeat(65_536), 'MQTT 5.0 §1.5.4'],
  ])('%.20j is not: %s', (filter, clause) => {
    expect(checkTopicFilter(filter)?.clause).toBe(clause);
  });

  test('a shared one has a name and a filter of its own', () => {
    expect(parseShared('$share/g/a/+')).toEqual({ shareName: 'g', filter: 'a/+' });
    expect(parseShared('$share/g')).toBeNull();
    expect(parseShared('a/b')).toBeNull();
    expect([isShared('$share/g/a'), isShared('$share'), isShared('a')]).toEqual([true, false, false]);
  });
});

describe('matching', () => {
  // The examples of MQTT 5.0 §4.7.1 and §4.7.2 are among these.
  test.each([
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/tennis/player1/#', 'sport/tennis/player12', false],
    ['sport/#', 'sport', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/monitor', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['+/#', '$SYS', false],
    ['$SYS/#', '$SYS/monitor', true],
    ['$SYS/#', '$SYS', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['a/+', 'a/$b', true],
    ['/#', '/', true],
    ['/#', 'a', false],
    ['+/#', 'a', true],
    ['a/+/#', 'a', false],
    ['a/+/#', 'a/b', true],
    ['ACCOUNTS', 'Accounts', false],
    ['$share/g/a/+', 'a/b', true],
    ['$share/g/#', '$SYS/x', false],
  ])('%s and %s: %s', (filter, topic, matches) => {
    expect(topicMatches(filter, topic)).toBe(matches);
  });

  test('agrees with the definition, level by level', () => {
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        fc.pre(checkTopicFilter(filter) === null && checkTopicName(topic) === null);
        expect(compileFilter(filter)(topic)).toBe(matchesByDefinition(filter.split('/'), topic.split('/')));
      }),
      { numRuns: 3000 },
    );
  });

  test('a topic with some of its levels made wildcards matches', () => {
    fc.assert(
      fc.property(topics, fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), fc.nat(6), (topic, plus, keep) => {
        fc.pre(checkTopicName(topic) === null && !topic.startsWith('$'));
        const levels = topic.split('/').map((level, index) => (plus[index] ? '+' : level));
        expect(topicMatches(levels.join('/'), topic)).toBe(true);
        expect(topicMatches([...levels.slice(0, keep), '#'].join('/'), topic)).toBe(true);
      }),
    );
  });
});

const levels = (...choice: string[]) => fc.array(fc.constantFrom(...choice), { minLength: 1, maxLength: 5 });
const filters = levels('a', 'ab', 'b', '', '+', '#', '$a').map((parts) => parts.join('/'));
const topics = levels('a', 'ab', 'b', '', '$a').map((parts) => parts.join('/'));

/** MQTT 5.0 §4.7 as it reads, without regard to speed. */
function matchesByDefinition(filter: string[], topic: string[]): boolean {
  const [first = ''] = filter;
  if (['#', '+'].includes(first) && topic[0]?.startsWith('$')) return false;
  const matches = (rest: string[], of: string[]): boolean => {
    const [level, ...after] = rest;
    if (level === '#') return true;
    if (level === undefined || of.length === 0) return level === undefined && of.length === 0;
    return (
      (level === '+' || level === of[0]) &&
      (of.length > 1 || after.length === 0 || after[0] === '#') &&
      matches(after, of.slice(1))
    );
  };
  return matches(filter, topic);
}
