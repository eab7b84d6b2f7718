import { Problem } from '../errors/problem.ts';
import type { Key, Position, Queues } from './ports.ts';

const SEPARATOR = '.';

/** A message's id: it names one message of one queue, whichever instance is asked, and no other queue's. */
export function toCursor(key: Key, position: Position): string {
  return Buffer.from(`${key}${SEPARATOR}${position}`).toString('base64url');
}

/** The position that a cursor names in the queue of `key`; `invalid-cursor` for one that was not issued for it. */
export function fromCursor(cursor: string, key: Key, queues: Pick<Queues, 'isPosition'>): Position {
  const bytes = Buffer.from(cursor, 'base64url');
  const text = bytes.toString();
  const position = text.slice(key.length + 1);
  const canonical = bytes.toString('base64url') === cursor;
  if (canonical && text.startsWith(`${key}${SEPARATOR}`) && queues.isPosition(position)) return position;
  throw new Problem('invalid-cursor', { detail: 'The cursor was not issued for the queue of this Connection' });
}
