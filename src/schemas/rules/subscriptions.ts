import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { checkTopicFilter, isShared } from '../../mqtt/topics.ts';
import type { Sound } from '../faults.ts';
import type { Report } from '../report.ts';
import type { SubscriptionRequest } from '../subscription.ts';
import { refuseMqtt5Members, SUBSCRIPTION_OPTIONS } from './mqtt5-only.ts';
import { type ConnectionRule, versionOf } from './rule.ts';

type SubscriptionPart = Sound<SubscriptionRequest>;

export const subscriptionRules: ConnectionRule = (part, _context, report) => {
  checkSubscriptions(part.subscriptions ?? [], (index) => `/subscriptions/${index}`, versionOf(part), report);
};

/** What MQTT says of subscriptions, one by one and together; `undefined` stands for a faulty one. */
export function checkSubscriptions(
  subscriptions: readonly (SubscriptionPart | undefined)[],
  pointerOf: (index: number) => string,
  version: ProtocolVersion,
  report: Report,
): void {
  const seen = new Map<string, string>();
  for (const [index, subscription] of subscriptions.entries()) {
    if (subscription === undefined) continue;
    const pointer = pointerOf(index);
    checkSubscription(subscription, pointer, version, report);
    const { filter } = subscription;
    if (filter === undefined) continue;
    const first = seen.get(filter);
    if (first === undefined) seen.set(filter, `${pointer}/filter`);
    else {
      report.fault({
        pointer: `${pointer}/filter`,
        detail: `The same Topic Filter is at ${first}; a session has one subscription for each.`,
        reference: 'MQTT-3.8.4-3',
      });
    }
  }
}

function checkSubscription(part: SubscriptionPart, pointer: string, version: ProtocolVersion, report: Report): void {
  refuseMqtt5Members(SUBSCRIPTION_OPTIONS, part, pointer, version, report);
  const { filter, noLocal } = part;
  if (filter === undefined) return;
  const breach = checkTopicFilter(filter);
  report.breach(`${pointer}/filter`, 'The Topic Filter', breach);
  if (breach !== null) return;
  report.caution(`${pointer}/filter`, 'The Topic Filter', filter);
  if (!isShared(filter)) return;
  if (noLocal === true && version === '5.0') {
    report.fault({
      pointer: `${pointer}/noLocal`,
      detail: 'No Local on a shared subscription ($share) is a Protocol Error.',
      reference: 'MQTT-3.8.3-4',
    });
  }
  if (version !== '5.0') {
    report.warn(
      {
        code: 'shared-subscription-on-3',
        detail: `Shared subscriptions are MQTT 5.0's; on ${version} a broker may take "$share" for a plain topic level.`,
        pointer: `${pointer}/filter`,
      },
      ['/protocolVersion'],
    );
  }
}
