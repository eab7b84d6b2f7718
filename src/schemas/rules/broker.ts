/** Which broker: a profile of the operator's, or a URL that the caller may use. */
import { readBrokerUrl } from '../broker-url.ts';
import { type ConnectionRule, urlsOf } from './rule.ts';

export const DEFAULT_BROKER = 'default';

export const brokerRules: ConnectionRule = (part, context, report) => {
  if (part.broker !== undefined && part.url !== undefined) {
    report.fault({
      pointer: '/url',
      detail: 'Both `broker` and `url` say where to connect to: give one of them.',
    });
  }
  const broker = part.broker ?? DEFAULT_BROKER;
  if (part.url === undefined && !context.brokers.has(broker)) {
    const detail =
      part.broker === undefined
        ? 'There is no default broker here: give `broker` or `url`.'
        : `There is no broker profile "${broker}".`;
    report.fault({ pointer: '/broker', detail }, ['/broker', '/url']);
  }
  for (const { text, pointer } of urlsOf(part)) {
    const read = readBrokerUrl(text);
    const reasons = 'url' in read ? [context.urlAllowed(read.url) ?? []].flat() : read.reasons;
    for (const detail of reasons) report.fault({ pointer, detail });
  }
};

/** Whether one of these URLs asks for QUIC, which needs a package of its own. */
export function asksForQuic(urls: string | readonly string[] | undefined): boolean {
  return [urls ?? []].flat().some((text) => URL.parse(text)?.protocol === 'quic:');
}
