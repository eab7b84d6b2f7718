import { SCRAM_SHA_256 } from '../../mqtt/authentication.ts';
import { SESSION_NEVER_EXPIRES } from '../../mqtt/limits.ts';
import type { MessageProperties } from '../../mqtt/message.ts';
import { encodePayload } from '../../mqtt/payload.ts';
import { PROTOCOLS } from '../../mqtt/protocol-version.ts';
import type { ConnectionParameters, Password, Will } from '../../schemas/connection.ts';
import type { BrokerProfile } from '../dependencies.ts';
import { formatAddress, parseAddress } from '../transports/address.ts';
import type { AuthenticationOptions } from './authentication.ts';
import type { ConnectOptions } from './mqtt-client.ts';
import { packetUserProperties, toPacketProperties } from './packets.ts';

const DEFAULT_WEBSOCKET_PATH = '/mqtt';
/** The sub-protocol's name was another one in MQTT 3.1's days. */
const WEBSOCKET_PROTOCOLS = { '5.0': 'mqtt', '3.1.1': 'mqtt', '3.1': 'mqttv3.1' } as const;

/** Broker and ClientID together are what a broker knows a client by: this is the broker's half of that identity. */
export function brokerIdentity(parameters: ConnectionParameters): string {
  if (parameters.url === undefined) return `profile:${parameters.broker ?? 'default'}`;
  return `url:${[parameters.url].flat().map((url) => formatAddress(parseAddress(url)))}`;
}

/** Whether the broker keeps the session of such a Connection when the network connection ends. */
export function isPersistent(parameters: ConnectionParameters): boolean {
  if (parameters.protocolVersion !== '5.0') return parameters.cleanSession === false;
  return (parameters.sessionExpiryInterval ?? 0) !== 0;
}

/** Clean Start or Clean Session of the next CONNECT: v5 starts clean only the first time, 3.x whenever not persistent. */
export function startsClean(parameters: ConnectionParameters, first: boolean): boolean {
  if (parameters.protocolVersion !== '5.0') return !isPersistent(parameters);
  return first && (parameters.cleanStart ?? !isPersistent(parameters));
}

/**
 * CONNECT from a Connection's parameters and the broker's profile, if it names one, for each address in turn. What a
 * caller says of user name and password goes before the profile's; addresses and TLS are the operator's.
 */
export function connectOptions(
  parameters: ConnectionParameters,
  profile: BrokerProfile | undefined,
  { clean, maxPayload }: { clean: boolean; maxPayload: number },
): ConnectOptions[] {
  const urls = parameters.url === undefined ? (profile?.urls ?? []) : [parameters.url].flat();
  const { username, password } = credentials(parameters, profile);
  const authentication = toAuthentication(parameters, { username, password });
  // A method of the bridge's own proves the password, and CONNECT does not tell it.
  const told = authentication?.password === undefined ? password : undefined;
  const common = {
    protocolLevel: PROTOCOLS[parameters.protocolVersion].level,
    protocolName: PROTOCOLS[parameters.protocolVersion].name,
    clientId: parameters.clientId,
    clean,
    keepAlive: parameters.keepAlive,
    connectTimeoutMs: parameters.connectTimeout * 1000,
    maxPayload,
    ...(username === undefined ? {} : { username }),
    ...(told === undefined ? {} : { password: Buffer.from(told) }),
    ...(authentication === undefined ? {} : { authentication }),
    ...(parameters.will === undefined ? {} : { will: toWill(parameters.will) }),
    ...(parameters.protocolVersion === '5.0' ? { properties: toProperties(parameters) } : {}),
  };
  return urls.map((url) => {
    const address = parseAddress(url);
    const headers = profile?.websocketHeaders ?? parameters.websocket?.headers ?? {};
    const path = address.path ?? parameters.websocket?.path ?? DEFAULT_WEBSOCKET_PATH;
    return {
      ...common,
      target: {
        address,
        fromCaller: parameters.url !== undefined,
        tls: profile?.tls ?? parameters.tls ?? {},
        webSocket: { path, headers, protocol: WEBSOCKET_PROTOCOLS[parameters.protocolVersion] },
      },
    };
  });
}

/** "never" as MQTT writes it. */
export function expirySeconds(interval: number | 'never' | undefined): number {
  return interval === 'never' ? SESSION_NEVER_EXPIRES : (interval ?? 0);
}

/** A pair: a caller's user name is never sent with the operator's password. */
function credentials(parameters: ConnectionParameters, profile: BrokerProfile | undefined) {
  const { username, password } = parameters;
  if (username === undefined && password === undefined)
    return { username: profile?.username, password: profile?.password };
  return { username, password: password === undefined ? undefined : passwordBytes(password) };
}

function passwordBytes(password: Password): Uint8Array {
  return typeof password === 'string' ? Buffer.from(password) : Buffer.from(password.base64, 'base64');
}

function toAuthentication(
  { properties: { authenticationMethod: method, authenticationData: data } = {} }: ConnectionParameters,
  { username, password }: { username: string | undefined; password: Uint8Array | undefined },
): AuthenticationOptions | undefined {
  if (method === undefined) return undefined;
  if (method !== SCRAM_SHA_256) {
    return { method, ...(data === undefined ? {} : { data: Buffer.from(data, 'base64') }) };
  }
  return {
    method,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

function toProperties(parameters: ConnectionParameters): NonNullable<ConnectOptions['properties']> {
  const { sessionExpiryInterval } = parameters;
  const {
    authenticationData: _,
    authenticationMethod: __,
    userProperties,
    ...properties
  } = parameters.properties ?? {};
  return {
    ...properties,
    ...packetUserProperties(userProperties),
    ...(sessionExpiryInterval === undefined ? {} : { sessionExpiryInterval: expirySeconds(sessionExpiryInterval) }),
  } as NonNullable<ConnectOptions['properties']>;
}

function toWill(will: Will): NonNullable<ConnectOptions['will']> {
  const { topic, payload, encoding, qos, retain, delayInterval, correlationData, ...rest } = will;
  const properties: MessageProperties = {
    ...rest,
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData, 'base64') }),
  };
  const bytes = encodePayload(payload, encoding);
  if ('reason' in bytes) throw new TypeError(bytes.reason);
  return {
    topic,
    payload: Buffer.from(bytes),
    qos,
    retain,
    properties: {
      ...toPacketProperties(properties),
      ...(delayInterval === undefined ? {} : { willDelayInterval: delayInterval }),
    },
  };
}
