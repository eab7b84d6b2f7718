import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../../src/bridge/backoff.ts';
import { changedMembers, needsReattach } from '../../../src/bridge/changes.ts';
import { fromCursor, toCursor } from '../../../src/bridge/cursors.ts';
import { PacketIdentifiers } from '../../../src/bridge/packet-identifiers.ts';
import type { Key, Position } from '../../../src/bridge/ports.ts';
import { TakeoverDetector } from '../../../src/bridge/takeover.ts';
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

describe('backoffMs', () => {
  it('is full jitter under a bound that doubles up to a cap', () => {
    expect([0, 1, 2, 3].map((failures) => backoffMs(failures, () => 0.999_999))).toEqual([499, 999, 1_999, 3_999]);
    expect(backoffMs(1_000, () => 0.999_999)).toBe(59_999);
    expect(backoffMs(5, () => 0)).toBe(0);
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

describe('TakeoverDetector', () => {
  const closed = { kind: 'closed', detail: '' } as const;
  const at = (connectedAt: number, now: number, version: '5.0' | '3.1.1' = '3.1.1') => ({ connectedAt, now, version });

  it('believes 0x8E at once, and no other reason code', () => {
    const detector = new TakeoverDetector();
    const ended = (reasonCode: number) => ({ kind: 'disconnected', detail: '', reasonCode }) as const;
    expect(detector.isTakeover(ended(0x8e), at(0, 90_000, '5.0'))).toBe(true);
    expect(detector.isTakeover(ended(0x8b), at(0, 1, '5.0'))).toBe(false);
  });

  it('on v5, whose brokers should say so, takes five closes for it', () => {
    const detector = new TakeoverDetector();
    const closes = [1, 2, 3, 4, 5].map((close) => detector.isTakeover(closed, at(close, close, '5.0')));
    expect(closes).toEqual([false, false, false, false, true]);
  });

  it('sees three closes soon after CONNACK inside a minute', () => {
    const detector = new TakeoverDetector();
    expect(detector.isTakeover(closed, at(0, 4_000))).toBe(false);
    expect(detector.isTakeover(closed, at(10_000, 10_001))).toBe(false);
    expect(detector.isTakeover(closed, at(59_000, 59_500))).toBe(true);
  });

  it('does not count closes of a connection that had lived, ends of our own, or closes far apart', () => {
    const detector = new TakeoverDetector();
    expect(detector.isTakeover(closed, at(0, 1))).toBe(false);
    expect(detector.isTakeover(closed, at(10, 6_000))).toBe(false);
    expect(detector.isTakeover({ kind: 'ours', detail: '' }, at(6_000, 6_001))).toBe(false);
    expect(detector.isTakeover(closed, at(7_000, 7_001))).toBe(false);
    expect(detector.isTakeover(closed, at(61_000, 61_001))).toBe(false);
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
