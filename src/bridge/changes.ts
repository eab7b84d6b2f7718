import { isDeepStrictEqual } from 'node:util';
import type { ConnectionParameters } from '../schemas/connection.ts';

/** Members that matter to the bridge alone, or to the next CONNECT at the earliest: changing them reconnects nothing. */
const QUIET: ReadonlySet<string> = new Set<keyof ConnectionParameters>([
  'queue',
  'hold',
  'subscriptions',
  'onTakeover',
  'drainInterval',
  'idleTtl',
  'connectTimeout',
  'cleanStart',
]);

/** The members in which two documents differ. */
export function changedMembers(before: ConnectionParameters, after: ConnectionParameters): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]) as Set<keyof ConnectionParameters>;
  return [...names].filter((name) => !isDeepStrictEqual(before[name], after[name]));
}

/** Whether a change of these members needs another CONNECT, to the same session. */
export function needsReattach(changed: readonly string[]): boolean {
  return changed.some((name) => !QUIET.has(name));
}

/** Whether a change of these members needs SUBSCRIBE or UNSUBSCRIBE. */
export function changesSubscriptions(changed: readonly string[]): boolean {
  return changed.includes('subscriptions');
}
