/** Clean Start, Clean Session, Session Expiry Interval, Keep Alive, and what `hold` makes of them. */
import { CONNECT_MEMBERS, refuseMqtt5Members } from './mqtt5-only.ts';
import { type ConnectionRule, PERSISTENCE, persists, versionOf } from './rule.ts';

export const sessionRules: ConnectionRule = (part, context, report) => {
  const version = versionOf(part);
  refuseMqtt5Members(CONNECT_MEMBERS, part, '', version, report);
  if (version === '5.0' && part.cleanSession !== undefined) {
    report.fault(
      {
        pointer: '/cleanSession',
        detail:
          'Clean Session exists in MQTT 3.1.1 and 3.1 only; MQTT 5.0 has Clean Start (`cleanStart`) and the Session ' +
          'Expiry Interval (`sessionExpiryInterval`).',
        reference: 'MQTT 5.0 §3.1.2.4',
      },
      ['/protocolVersion'],
    );
  }
  if (version === '5.0' && part.cleanStart === false && !persists(part)) {
    report.warn(
      {
        code: 'session-not-kept',
        detail:
          'Clean Start is 0 with a Session Expiry Interval of 0: a session found at the broker is resumed once, and ' +
          'ends with its network connection.',
        pointer: '/sessionExpiryInterval',
      },
      ['/cleanStart', ...PERSISTENCE],
    );
  }
  if (part.keepAlive === 0) {
    report.warn({
      code: 'keep-alive-off',
      detail: 'Keep Alive is off: neither side notices a network connection that died silently until it sends.',
      pointer: '/keepAlive',
    });
  }
  if ((part.hold ?? context.defaultHold) === 'onDemand' && !persists(part)) {
    report.warn(
      {
        code: 'session-holds-nothing',
        detail:
          'With `hold` "onDemand" the Connection is mostly detached, and its session ends at every detach: nothing ' +
          'that is sent meanwhile will ever arrive.',
        pointer: version === '5.0' ? '/sessionExpiryInterval' : '/cleanSession',
      },
      ['/hold', ...PERSISTENCE],
    );
  }
};
