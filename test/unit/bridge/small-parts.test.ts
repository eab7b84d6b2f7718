import { describe, expect, it } from 'vitest';
import { changedMembers, needsReattach } from '../../../src/bridge/changes.ts';
import { fromCursor, toCursor } from '../../../src/bridge/cursors.ts';
import { PacketIdentifiers } from '../../../src/bridge/link/packet-identifiers.ts';
import type { Key, Position } from '../../../src/bridge/ports.ts';
import { valid } from '../../helpers/bridge.ts';

describe('PacketIdentifiers', () => {
  it('gives out each of the 65,535 once, then none, and a freed one again', () => {
    const identifiers = new PacketIdentifiers();
    const seen = new Set(Array.from({ length: 65_535 }, () => identifiers.allocate()));
    expect(seen.size).toBe(65_535);
    expect(Math.min(...(seen as Set<number>))).toBe(1);
    expect(identifiers.allocate()).toBeNull();
    identifiers.free(77);
    expect(identifiers.allocate()).toBe(77);
  });

  it('passes over what a former owner uses', () => {
    const identifiers = new PacketIdentifiers();
    identifiers.reserve(1);
    identifiers.reserve(2);
    expect(identifiers.allocate()).toBe(3);
  });

  it('does not give out at once what was just freed', () => {
    const identifiers = new PacketIdentifiers();
    identifiers.free(identifiers.allocate() ?? 0);
    expect(identifiers.allocate()).toBe(2);
  });
});

describe('cursors', () => {
  const queues = { isPosition: (text: string): text is Position => /^\d+$/.test(text) };
  const key = 'k.1' as Key;
  const cursor = toCursor(key, '42' as Position);

  it('come back as the position they were made from', () => expect(fromCursor(cursor, key, queues)).toBe('42'));

  it.each([
    ['another queue', toCursor('k.2' as Key, '42' as Position)],
    ['a longer key', toCursor('k.1.9' as Key, '42' as Position)],
    ['no position', toCursor(key, 'x' as Position)],
    ['not base64url', `${cursor}=`],
    ['nothing', ''],
  ])('of %s are invalid', (_what, text) => {
    expect(() => fromCursor(text, key, queues)).toThrow(expect.objectContaining({ type: 'invalid-cursor' }));
  });
});

describe('what a changed document needs', () => {
  const base = { id: 'a', sessionExpiryInterval: 60, username: 'u', password: 'p' };
  const changed = (change: object) => changedMembers(valid(base).parameters, valid({ ...base, ...change }).parameters);

  it.each([
    [{ queue: { maxMessages: 5 } }, ['queue'], false],
    [{ subscriptions: [{ filter: 'a' }] }, ['subscriptions'], false],
    [{ drainInterval: 5, connectTimeout: 3 }, ['connectTimeout', 'drainInterval'], false],
    [{ keepAlive: 5 }, ['keepAlive'], true],
    [{ password: 'q' }, ['password'], true],
    [{ will: { topic: 'w' } }, ['will'], true],
    [{ properties: { receiveMaximum: 5 } }, ['properties'], true],
    [{}, [], false],
  ])('%j', (change, members, reattach) => {
    expect(changed(change).sort()).toEqual(members);
    expect(needsReattach(changed(change))).toBe(reattach);
  });
});
