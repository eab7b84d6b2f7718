import { describe, expect, test } from 'vitest';
import { validateSubscriptions } from '../../../src/schemas/subscription-rules.ts';
import { faultsThrown } from './validate.ts';

describe('a request to subscribe', () => {
  test('is one subscription or several', () => {
    expect(validateSubscriptions({ filter: 'a' }, '5.0')).toEqual([{ filter: 'a', qos: 0 }]);
    expect(
      validateSubscriptions(
        [
          { filter: 'a', qos: 2 },
          { filter: 'b', noLocal: true },
        ],
        '5.0',
      ),
    ).toEqual([
      { filter: 'a', qos: 2 },
      { filter: 'b', qos: 0, noLocal: true },
    ]);
  });

  test.each<[string, unknown, string[]]>([
    ['nothing', undefined, ['']],
    ['no object', 'a', ['']],
    ['no filter', { qos: 1 }, ['/filter']],
    ['a malformed filter', { filter: 'a/#/b', qos: 3 }, ['/qos', '/filter']],
    ['No Local with $share', { filter: '$share/g/a', noLocal: true }, ['/noLocal']],
    ['an unknown member', { filter: 'a', rh: 1 }, ['/rh']],
    ['an empty array', [], ['']],
    ['too many', Array.from({ length: 1001 }, (_, index) => ({ filter: `${index}` })), ['']],
    [
      'an array of all kinds',
      [{ filter: 5 }, null, { filter: 'a+' }, { filter: 'b' }, { filter: 'b' }],
      ['/0/filter', '/1', '/2/filter', '/4/filter'],
    ],
  ])('may not be %s', (_, body, pointers) => {
    expect(faultsThrown(() => validateSubscriptions(body, '5.0')).map(({ pointer }) => pointer)).toEqual(pointers);
  });

  test('has no options on 3.1.1', () => {
    const body = [{ filter: 'a' }, { filter: 'b', noLocal: true, subscriptionIdentifier: 1 }];
    expect(faultsThrown(() => validateSubscriptions(body, '3.1.1')).map(({ pointer }) => pointer)).toEqual([
      '/1/noLocal',
      '/1/subscriptionIdentifier',
    ]);
  });
});
