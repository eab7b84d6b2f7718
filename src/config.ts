import { isLoopbackHost, parseBrokerUrl } from './config/broker-url.ts';
import { type Environment, environment } from './config/environment.ts';
import { type BrokerSettings, type ConfigFile, parseConfigFile } from './config/file.ts';
import { parseUrlPattern, type UrlPatterns } from './config/url-patterns.ts';
import { isPlaintextOverNetwork } from './mqtt/broker-schemes.ts';

export type { BrokerSettings } from './config/file.ts';

/** The embedded broker's address: what MQTT's registered port is. */
const DEV_BROKER = { host: '127.0.0.1', port: 1883 } as const;

/** Everything that an operator chooses, checked and resolved. */
export interface Config {
  /** `function`: state is in Redis, and nothing is held between requests. */
  readonly mode: Environment['BRIDGE_MODE'];
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  readonly store:
    | { readonly kind: 'sqlite'; readonly path: string }
    | { readonly kind: 'redis'; readonly url: string; readonly prefix: string; readonly minReplicas: number };
  readonly brokers: ReadonlyMap<string, BrokerSettings>;
  /** The embedded broker that stands in for the `default` profile, or null when there is a real one. */
  readonly devBroker: { readonly host: string; readonly port: number } | null;
  /** For the TLS to all brokers. */
  readonly brokerTls: {
    /** PEM: trusted beside the CAs that Node trusts, where nobody names another. Null: none. */
    readonly ca: string | null;
    /** Whether callers may do without verification (`tls.rejectUnauthorized: false`). */
    readonly allowUnverified: boolean;
  };
  /** Which broker URLs callers may give. */
  readonly allowUrls: UrlPatterns;
  readonly apiKey: string | null;
  /** The first encrypts, all decrypt. Null: generated, and kept beside the embedded store. */
  readonly secretKeys: readonly Uint8Array[] | null;
  /** Null: a random one, new at each start. */
  readonly nodeId: string | null;
  readonly leaseTtlMs: number;
  /** Connections that one instance attaches at the same time. */
  readonly poolMax: number;
  readonly logLevel: Environment['LOG_LEVEL'];
  /** Bytes. */
  readonly maxPayload: number;
  readonly requireTls: boolean;
}

/** The configuration cannot be used: every fault at once, each a sentence that names its variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** Reads the environment and the file that `BRIDGE_CONFIG` names (through `readFile`). Throws `ConfigError`. */
export function loadConfig(
  variables: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): Config {
  const faults: string[] = [];
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
  const parsed = environment.safeParse(given);
  for (const issue of parsed.error?.issues ?? []) faults.push(`${issue.path.join('.')} ${issue.message}.`);

  const file = readConfigFile(given.BRIDGE_CONFIG, readFile, faults);
  const brokers = readBrokers(given, file, faults);
  const allowUrls = readPatterns(given.ALLOW_URLS, file.allowUrls, faults);
  faults.push(...contradictions(given, brokers, allowUrls));
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);

  const settings = parsed.data;
  const store = readStore(settings);
  return Object.freeze({
    mode: settings.BRIDGE_MODE,
    host: settings.HOST,
    port: settings.PORT,
    tls:
      settings.TLS_CERT !== undefined && settings.TLS_KEY !== undefined
        ? { certFile: settings.TLS_CERT, keyFile: settings.TLS_KEY }
        : null,
    store,
    brokers,
    devBroker: store.kind === 'sqlite' && !brokers.has('default') ? DEV_BROKER : null,
    brokerTls: { ca: file.tls.ca ?? null, allowUnverified: file.tls.allowUnverified },
    allowUrls,
    apiKey: settings.BRIDGE_API_KEY ?? null,
    secretKeys: settings.BRIDGE_SECRET_KEY ?? null,
    nodeId: settings.NODE_ID ?? null,
    leaseTtlMs: settings.LEASE_TTL_MS,
    poolMax: settings.POOL_MAX,
    logLevel: settings.LOG_LEVEL,
    maxPayload: settings.MAX_PAYLOAD,
    requireTls: settings.REQUIRE_TLS,
  });
}

function readConfigFile(path: string | undefined, readFile: (path: string) => string, faults: string[]): ConfigFile {
  const empty: ConfigFile = { brokers: {}, allowUrls: [], tls: { allowUnverified: false } };
  if (path === undefined) return empty;
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    faults.push(`BRIDGE_CONFIG names a file that cannot be read: ${error instanceof Error ? error.message : path}.`);
    return empty;
  }
  const result = parseConfigFile(text, readFile);
  if ('value' in result) return result.value;
  faults.push(...result.faults.map((fault) => `BRIDGE_CONFIG (${path}) ${fault}.`));
  return empty;
}

function readBrokers(
  given: Readonly<Record<string, string | undefined>>,
  file: ConfigFile,
  faults: string[],
): ReadonlyMap<string, BrokerSettings> {
  const brokers = new Map<string, BrokerSettings>(Object.entries(file.brokers));
  if (given.MQTT_URL === undefined) return brokers;
  if (brokers.has('default')) faults.push('MQTT_URL and the broker "default" of BRIDGE_CONFIG are both set: keep one.');
  try {
    const { url, username, password } = parseBrokerUrl(given.MQTT_URL);
    brokers.set('default', {
      urls: [url],
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: Buffer.from(password) }),
    });
  } catch (error) {
    faults.push(`MQTT_URL ${error instanceof Error ? error.message : String(error)}.`);
  }
  return brokers;
}

function readPatterns(variable: string | undefined, inFile: readonly string[], faults: string[]): UrlPatterns {
  const fromVariable = variable === undefined ? [] : variable.split(',').map((pattern) => pattern.trim());
  const read = (texts: readonly string[], source: string) =>
    texts.flatMap((text) => {
      try {
        return [parseUrlPattern(text)];
      } catch (error) {
        faults.push(`${source}: ${error instanceof Error ? error.message : String(error)}.`);
        return [];
      }
    });
  return [...read(fromVariable, 'ALLOW_URLS'), ...read(inFile, 'allowUrls of BRIDGE_CONFIG')];
}

/** What only shows across variables. Looks at their text, so that it is found together with faults of single ones. */
function contradictions(
  given: Readonly<Record<string, string | undefined>>,
  brokers: ReadonlyMap<string, BrokerSettings>,
  allowUrls: UrlPatterns,
): string[] {
  const faults: string[] = [];
  const host = given.HOST;
  if (host !== undefined && !isLoopbackHost(host) && given.BRIDGE_API_KEY === undefined) {
    faults.push(`HOST is ${host}, which others can reach, and nobody would have to authenticate: set BRIDGE_API_KEY.`);
  }
  if ((given.TLS_CERT === undefined) !== (given.TLS_KEY === undefined)) {
    faults.push('TLS_CERT and TLS_KEY belong together: only one is set.');
  }
  const isRedis = /^redis/.test(given.STORE_URL ?? '');
  if (given.BRIDGE_MODE === 'function' && !isRedis) {
    faults.push('BRIDGE_MODE is function, and functions keep their state in Redis: set STORE_URL to a redis:// URL.');
  }
  if (isRedis) {
    if (given.BRIDGE_SECRET_KEY === undefined) {
      faults.push(
        'BRIDGE_SECRET_KEY is required with Redis, the same for all instances; make one with: openssl rand -base64 32.',
      );
    }
    if (given.MQTT_URL === undefined && brokers.size === 0 && allowUrls.length === 0) {
      faults.push('MQTT_URL is not set, and the embedded broker is never started with Redis: set it.');
    }
  }
  if (given.REQUIRE_TLS === 'true') {
    for (const [name, { urls, username, password }] of brokers) {
      if ((username !== undefined || password !== undefined) && urls.some(isPlaintextOverNetwork)) {
        faults.push(`The broker "${name}" would get credentials over plaintext, which REQUIRE_TLS forbids: use mqtts.`);
      }
    }
  }
  return faults;
}

function readStore(settings: Environment): Config['store'] {
  const { STORE_URL: url, STORE_PREFIX: prefix, STORE_MIN_REPLICAS: minReplicas } = settings;
  if (url.startsWith('sqlite:')) return { kind: 'sqlite', path: url.slice('sqlite:'.length) };
  return { kind: 'redis', url, prefix, minReplicas };
}
