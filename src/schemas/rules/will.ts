import { MAX_BINARY_BYTES, SESSION_NEVER_EXPIRES } from '../../mqtt/limits.ts';
import { encodePayload } from '../../mqtt/payload.ts';
import { checkTopicName, isReserved } from '../../mqtt/topics.ts';
import type { Report } from '../report.ts';
import { refuseMqtt5Members, WILL_PROPERTIES } from './mqtt5-only.ts';
import { checkPublishProperties } from './publish-properties.ts';
import {
  type ConnectionContext,
  type ConnectionPart,
  type ConnectionRule,
  PERSISTENCE,
  persists,
  versionOf,
} from './rule.ts';

type WillPart = NonNullable<ConnectionPart['will']>;

/** The Will is a PUBLISH that the broker keeps: topic, payload and properties. [MQTT 5.0 §3.1.3.2] */
export const willRules: ConnectionRule = (part, context, report) => {
  const { will } = part;
  if (will === undefined) return;
  refuseMqtt5Members(WILL_PROPERTIES, will, '/will', versionOf(part), report);
  if (will.topic !== undefined) checkTopic(will.topic, report);
  const payload = checkPayload(will, context.maxPayload, report);
  checkPublishProperties(will, '/will', payload, report);
  if (versionOf(part) === '5.0') checkDelay(part, will, context, report);
};

function checkTopic(topic: string, report: Report): void {
  const breach = checkTopicName(topic);
  report.breach('/will/topic', 'The Will Topic', breach);
  if (breach !== null) return;
  report.caution('/will/topic', 'The Will Topic', topic);
  if (isReserved(topic)) {
    report.warn({
      code: 'reserved-topic',
      detail: 'The Will Topic begins with "$": brokers keep such topics for themselves and may drop the Will.',
      pointer: '/will/topic',
    });
  }
}

/** The payload's bytes; null where there are none to speak of. */
function checkPayload(will: WillPart, maxPayload: number, report: Report): Uint8Array | null {
  const payload = encodePayload(will.payload, will.encoding ?? 'utf8');
  if ('reason' in payload) {
    report.fault({ pointer: '/will/payload', detail: payload.reason }, ['/will/encoding']);
    return null;
  }
  const limit = Math.min(MAX_BINARY_BYTES, maxPayload);
  if (payload.length > limit) {
    report.fault(
      {
        pointer: '/will/payload',
        detail: `The Will Payload is ${payload.length} bytes, and ${limit === MAX_BINARY_BYTES ? 'MQTT' : 'this bridge'} allows ${limit}.`,
        ...(limit === MAX_BINARY_BYTES ? { reference: 'MQTT 5.0 §3.1.3.4' } : {}),
      },
      ['/will/encoding'],
    );
  }
  return payload;
}

function checkDelay(part: ConnectionPart, will: WillPart, { failOver }: ConnectionContext, report: Report): void {
  const basis = ['/will/delayInterval', ...PERSISTENCE];
  const delay = will.delayInterval ?? 0;
  const expiry = part.sessionExpiryInterval ?? 0;
  const seconds = expiry === 'never' ? SESSION_NEVER_EXPIRES : expiry;
  if (delay > seconds) {
    report.warn(
      {
        code: 'will-delay-cut-short',
        detail: `The session ends ${seconds} s after its network connection, and the Will goes out then, not after its delay of ${delay} s.`,
        pointer: '/will/delayInterval',
      },
      basis,
    );
  }
  if (failOver !== undefined && persists(part) && delay <= failOver) {
    report.warn(
      {
        code: 'will-before-fail-over',
        detail: `Another instance takes over within ${failOver} s of a crash; a Will Delay Interval above that lets it come back before the Will goes out.`,
        pointer: '/will/delayInterval',
      },
      basis,
    );
  }
}
