import type { Config } from '../config.ts';
import type { BrokerSettings } from './file.ts';

const MASK = '***';

/** The configuration as JSON text that can be shown to anybody: every secret is masked. */
export function printConfig(config: Config): string {
  const shown = {
    ...config,
    store: config.store.kind === 'redis' ? { ...config.store, url: maskCredentials(config.store.url) } : config.store,
    brokers: Object.fromEntries([...config.brokers].map(([name, broker]) => [name, maskBroker(broker)])),
    allowUrls: config.allowUrls.map((pattern) =>
      pattern === '*' ? '*' : `${pattern.scheme}://${pattern.host.join('*')}:${pattern.port ?? '*'}`,
    ),
    apiKey: config.apiKey === null ? null : MASK,
    secretKeys: config.secretKeys === null ? null : config.secretKeys.map(() => MASK),
  };
  return JSON.stringify(shown, null, 2);
}

function maskBroker({ password, tls, websocketHeaders, ...open }: BrokerSettings): object {
  return {
    ...open,
    ...(password === undefined ? {} : { password: MASK }),
    ...(tls === undefined ? {} : { tls: maskMembers(tls, ['key', 'passphrase']) }),
    ...(websocketHeaders === undefined
      ? {}
      : { websocketHeaders: maskMembers(websocketHeaders, Object.keys(websocketHeaders)) }),
  };
}

function maskMembers(value: object, secret: readonly string[]): object {
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, secret.includes(name) ? MASK : member]),
  );
}

/** Also for lists of hosts, which are no URL: everything before the last `@` of the authority goes. */
function maskCredentials(url: string): string {
  return url.replace(/\/\/[^/]*@/, `//${MASK}@`);
}
