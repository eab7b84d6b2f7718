import { CONNECT_PROPERTIES, refuseMqtt5Members } from './mqtt5-only.ts';
import { checkBinary } from './publish-properties.ts';
import { type ConnectionRule, versionOf } from './rule.ts';

/** The properties of CONNECT. [MQTT 5.0 §3.1.2.11] */
export const connectPropertyRules: ConnectionRule = (part, _context, report) => {
  const { properties } = part;
  if (properties === undefined) return;
  refuseMqtt5Members(CONNECT_PROPERTIES, properties, '/properties', versionOf(part), report);
  report.userProperties('/properties/userProperties', properties.userProperties);
  report.string('/properties/authenticationMethod', 'The Authentication Method', properties.authenticationMethod);
  checkBinary(
    properties.authenticationData,
    '/properties/authenticationData',
    'The Authentication Data',
    'MQTT 5.0 §3.1.2.11.10',
    report,
  );
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    report.fault(
      {
        pointer: '/properties/authenticationData',
        detail: 'Authentication Data without an Authentication Method is a Protocol Error.',
        reference: 'MQTT 5.0 §3.1.2.11.10',
      },
      ['/properties/authenticationMethod'],
    );
  }
};
