import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome, QoS } from '../../mqtt/message.ts';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { FIRST_FAILURE, NO_MATCHING_SUBSCRIBERS, reasonName } from '../../mqtt/reason-codes.ts';

/** QoS 0 is not acknowledged: that it was handed to a live transport is all that is known. */
export function handedOver(): PublishOutcome {
  return { qos: 0, reasonCode: 0, reason: 'Success', matched: null };
}

/** What an acknowledgement's code says to the caller. */
export function answerOf(
  qos: QoS,
  packet: 'puback' | 'pubrec',
  reasonCode: number,
  version: ProtocolVersion,
): PublishOutcome | Problem {
  const reason = reasonName(packet, reasonCode, version);
  if (reasonCode < FIRST_FAILURE) {
    return { qos, reasonCode, reason, matched: reasonCode === NO_MATCHING_SUBSCRIBERS ? false : null };
  }
  return new Problem('broker-refused', { detail: `The broker refused the message: ${reason}`, reasonCode, reason });
}

export function outcomeUnknown(detail: string): Problem {
  return new Problem('outcome-unknown', { detail });
}

/** Properties are not dropped silently: a caller would believe that they arrived. */
export function refusalByVersion({ properties }: OutgoingMessage, version: ProtocolVersion): Problem | null {
  if (properties === undefined || version === '5.0') return null;
  const detail = `PUBLISH has no properties in MQTT ${version}, which this Connection speaks`;
  return new Problem('invalid-request', {
    detail,
    errors: [{ pointer: '/properties', detail, reference: 'MQTT 5.0 §3.3.2.3' }],
  });
}
