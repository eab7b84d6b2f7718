import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PublishQueue, WaitingPublish } from '../../../../src/bridge/delivery/publish-queue.ts';
import { Problem } from '../../../../src/errors/problem.ts';
import { message } from '../../../helpers/bridge.ts';

const LATE = new Problem('no-answer');

function waitingPublish(topic: string, timeoutMs = 1_000): WaitingPublish {
  const answer = { resolve: () => {}, reject: () => {} };
  return new WaitingPublish(message(topic, 'payload'), answer, {
    timeoutMs,
    onExpiry: (waiting) => waiting.reject(LATE),
  });
}

describe('PublishQueue', () => {
  let queue: PublishQueue;
  const topics = () => queue.takeAll().map((waiting) => waiting.message.topic);

  beforeEach(() => {
    vi.useFakeTimers();
    queue = new PublishQueue();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('forgets what has expired, so that it takes no room from what comes later', () => {
    for (let added = 0; added < 10_000; added += 1) queue.add(waitingPublish('old'));
    expect(() => queue.requireRoom(0)).toThrow(expect.objectContaining({ type: 'overloaded' }));
    vi.advanceTimersByTime(1_000);
    expect(queue.isEmpty).toBe(true);
    expect(() => queue.requireRoom(64 * 1024 * 1024)).not.toThrow();
  });

  it('keeps the order of the others when one leaves', () => {
    queue.add(waitingPublish('a'));
    queue.add(waitingPublish('b', 10));
    queue.add(waitingPublish('c'));
    vi.advanceTimersByTime(10);
    expect(topics()).toEqual(['a', 'c']);
  });

  it('takes from the front while it may, and counts the bytes that are left', () => {
    const bytes = waitingPublish('a').bytes;
    for (const topic of ['a', 'b', 'c']) queue.add(waitingPublish(topic));
    const taken: string[] = [];
    queue.takeWhile((waiting) => waiting.message.topic !== 'c' && taken.push(waiting.message.topic) > 0);
    expect(taken).toEqual(['a', 'b']);
    expect(() => queue.requireRoom(64 * 1024 * 1024 - bytes)).not.toThrow();
    expect(() => queue.requireRoom(64 * 1024 * 1024 - bytes + 1)).toThrow(Problem);
    expect(topics()).toEqual(['c']);
  });

  it('goes on behind one that is refused on its way out', () => {
    for (const topic of ['a', 'b']) queue.add(waitingPublish(topic));
    const seen: string[] = [];
    queue.takeWhile((waiting) => {
      seen.push(waiting.message.topic);
      waiting.reject(LATE);
      return true;
    });
    expect(seen).toEqual(['a', 'b']);
    expect(queue.isEmpty).toBe(true);
    expect(() => queue.requireRoom(64 * 1024 * 1024)).not.toThrow();
  });

  it('takes nobody back who has an answer', () => {
    const waiting = waitingPublish('a');
    waiting.reject(LATE);
    queue.add(waiting);
    expect(queue.isEmpty).toBe(true);
  });
});
