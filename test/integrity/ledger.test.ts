import { expect, it } from 'vitest';
import { publishedAfterRelease } from '../helpers/kill-broker-faults.ts';
import { FAULTLESS, type Flow, judge } from '../helpers/ledger.ts';

/** What the other tests here are judged by: it must be able to find fault. */
const flow = (change: Partial<Flow>): Flow => ({
  sent: ['a', 'b', 'c', 'd'],
  acknowledged: new Set(['a', 'c']),
  refused: new Set(['d']),
  received: ['a', 'b', 'c'],
  qos: 2,
  ...change,
});

it.each([
  ['all that was acknowledged arrived', {}, {}],
  ['what nobody answered for did not arrive', { received: ['a', 'c'] }, {}],
  ['an acknowledged message is missing', { received: ['a', 'b'] }, { missing: ['c'] }],
  ['one came again at QoS 2', { received: ['a', 'b', 'a', 'c'] }, { repeated: ['a'] }],
  ['one came again at QoS 1', { received: ['a', 'b', 'a', 'c'], qos: 1 }, {}],
  ['one came before one that was sent sooner', { received: ['a', 'c', 'b'] }, { disordered: ['b'] }],
  ['one came that was refused', { received: ['a', 'b', 'c', 'd'] }, { unexpected: ['d'] }],
  ['one came that nobody sent', { received: ['a', 'x', 'b', 'c'] }, { unexpected: ['x'] }],
] as const)('%s', (_name, change, faults) => {
  expect(judge(flow(change))).toEqual({ ...FAULTLESS, ...faults });
});

it('counts what a broker sent again although it had released it, and for that client only', () => {
  const sent = "Sending PUBLISH to keeper (d0, q2, r0, m7, 't', ... (1 bytes))";
  const again = sent.replace('d0', 'd1');
  const release = 'Sending PUBREL to keeper (m7)';
  expect(publishedAfterRelease([sent, again, release].join('\n'), 'keeper')).toBe(0);
  expect(publishedAfterRelease([sent, release, again].join('\n'), 'keeper')).toBe(1);
  expect(publishedAfterRelease([sent, release, sent, again].join('\n'), 'keeper')).toBe(0);
  expect(publishedAfterRelease([sent, release, again].join('\n'), 'other')).toBe(0);
});
