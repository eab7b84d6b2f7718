/** The validation of a request to subscribe. */
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { soundParts, structuralFaults } from './faults.ts';
import { Report } from './report.ts';
import { checkSubscriptions } from './rules/subscriptions.ts';
import { ownSentence } from './sentences.ts';
import { type SubscriptionRequest, subscriptionRequest, subscriptionRequests } from './subscription.ts';

/**
 * The subscriptions of a request's body, which is one or an array. Throws `invalid-request` with every fault; its
 * pointers are into the body as it is.
 */
export function validateSubscriptions(input: unknown, protocolVersion: ProtocolVersion): SubscriptionRequest[] {
  if (Array.isArray(input)) return validateArray(input, protocolVersion);
  const parsed = subscriptionRequest.safeParse(input, { error: ownSentence });
  const report = new Report(parsed.success ? [] : structuralFaults(parsed.error, input));
  const part = parsed.success ? parsed.data : soundParts(parsed.error, input as SubscriptionRequest);
  checkSubscriptions([part], () => '', protocolVersion, report);
  report.throwIfFaulty();
  if (!parsed.success) throw parsed.error;
  return [parsed.data];
}

function validateArray(input: unknown[], protocolVersion: ProtocolVersion): SubscriptionRequest[] {
  const parsed = subscriptionRequests.safeParse(input, { error: ownSentence });
  const report = new Report(parsed.success ? [] : structuralFaults(parsed.error, input));
  const parts = parsed.success ? parsed.data : soundParts(parsed.error, input as SubscriptionRequest[]);
  checkSubscriptions(parts ?? [], (index) => `/${index}`, protocolVersion, report);
  report.throwIfFaulty();
  if (!parsed.success) throw parsed.error;
  return parsed.data;
}
