import { describe, expect, it } from 'vitest';
import { homeSlot, isSlot, keyedSlot, slotDocument } from '../../../../src/bridge/publishers/slots.ts';

describe('slots', () => {
  it('a key belongs to the same slot of a broker for ever', () => {
    expect(keyedSlot('default', 'order-1')).toBe('$bridge/publisher/default/keyed.1');
    expect(keyedSlot('default', 'order-2')).toBe('$bridge/publisher/default/keyed.6');
    expect(keyedSlot('plant', 'order-2')).toBe('$bridge/publisher/plant/keyed.6');
  });

  it('keys spread over sixteen slots', () => {
    const slots = Array.from({ length: 1_000 }, (_, number) => keyedSlot('default', `key ${number}`));
    expect(new Set(slots).size).toBe(16);
  });

  it('the id says that it is one', () => {
    expect([homeSlot('a', 0), homeSlot('a', 1)]).toEqual(['$bridge/publisher/a/home.0', '$bridge/publisher/a/home.1']);
    expect([homeSlot('a', 0), keyedSlot('a', 'k'), '$bridge/other', 'publisher/a/home.0'].map(isSlot)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it.each([
    ['5.0', { cleanStart: false, sessionExpiryInterval: 86_400 }],
    ['3.1.1', { cleanSession: false }],
  ] as const)('its session persists, in %s', (version, session) => {
    const document = slotDocument({ id: homeSlot('a', 0), broker: 'a' }, version);
    expect(document).toMatchObject({ broker: 'a', protocolVersion: version, hold: 'always', ...session });
    expect(document.clientId).toMatch(/^[0-9A-Za-z]{22}$/);
    expect(slotDocument(document as { id: string; broker: string; clientId: string }, version)).toEqual(document);
  });
});
