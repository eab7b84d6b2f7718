import { isPlaintextOverNetwork } from '../../mqtt/broker-schemes.ts';
import { MAX_BINARY_BYTES } from '../../mqtt/limits.ts';
import { readBrokerUrl } from '../broker-url.ts';
import type { Report } from '../report.ts';
import { DEFAULT_BROKER } from './broker.ts';
import { checkBinary } from './publish-properties.ts';
import { type ConnectionContext, type ConnectionPart, type ConnectionRule, urlsOf, versionOf } from './rule.ts';

/** User Name and Password, and whether they travel in the clear. [MQTT 5.0 §3.1.3.5, §3.1.3.6] */
export const credentialRules: ConnectionRule = (part, context, report) => {
  report.string('/username', 'The user name', part.username);
  checkPassword(part.password, report);
  if (versionOf(part) !== '5.0' && part.password !== undefined && part.username === undefined) {
    report.fault(
      {
        pointer: '/password',
        detail: `MQTT ${versionOf(part)} has no password without a user name; "" is an empty one.`,
        reference: 'MQTT 3.1.1 [MQTT-3.1.2-22]',
      },
      ['/username', '/protocolVersion'],
    );
  }
  if (hasCredentials(part)) checkEncryption(part, context, report);
};

function checkPassword(password: ConnectionPart['password'], report: Report): void {
  if (typeof password === 'object') {
    checkBinary(password.base64, '/password/base64', 'The password', 'MQTT 5.0 §3.1.3.6', report);
    return;
  }
  if (password === undefined) return;
  if (!password.isWellFormed()) {
    report.fault({
      pointer: '/password',
      detail: 'The password contains a lone surrogate, which UTF-8 cannot carry; {"base64": "…"} takes any bytes.',
      reference: 'MQTT 5.0 §3.1.3.6',
    });
  }
  const bytes = Buffer.byteLength(password);
  if (bytes > MAX_BINARY_BYTES) {
    report.fault({
      pointer: '/password',
      detail: `The password is ${bytes} bytes, and Binary Data has at most ${MAX_BINARY_BYTES}.`,
      reference: 'MQTT 5.0 §1.5.6',
    });
  }
}

function hasCredentials({ username, password, properties, websocket }: ConnectionPart): boolean {
  const known = [username, password, properties?.authenticationData].some((secret) => secret !== undefined);
  return known || Object.keys(websocket?.headers ?? {}).some((name) => SECRET_HEADER.test(name));
}

/** Names of headers that carry a credential. */
const SECRET_HEADER = /authorization|cookie|key|secret|token/i;

/** The operator's own credentials in a profile are judged with the configuration. */
function checkEncryption(part: ConnectionPart, context: ConnectionContext, report: Report): void {
  const tell = (pointer: string, where: string) => {
    const detail = `The credentials would cross the network to ${where} in the clear: use mqtts or wss.`;
    if (context.requireTls) report.fault({ pointer, detail, reference: 'MQTT 5.0 §5.4.5' });
    else report.warn({ code: 'credentials-over-plaintext', detail, pointer });
  };
  for (const { text, pointer } of urlsOf(part)) {
    const read = readBrokerUrl(text);
    if ('url' in read && isPlaintextOverNetwork(text)) tell(pointer, read.url.hostname);
  }
  const { broker = DEFAULT_BROKER } = part;
  if (part.url === undefined && context.plaintextBrokers.has(broker)) tell('/broker', `the broker "${broker}"`);
}
