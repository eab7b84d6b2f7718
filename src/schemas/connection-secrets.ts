/** Secrets of a Connection's document: kept encrypted, apart from the rest, and never answered. */
import type { ConnectionParameters } from './connection.ts';

type Tls = NonNullable<ConnectionParameters['tls']>;
type Websocket = NonNullable<ConnectionParameters['websocket']>;
type Properties = NonNullable<ConnectionParameters['properties']>;

/** The document without its secrets. */
export type OpenParameters = Omit<ConnectionParameters, 'password' | 'tls' | 'websocket' | 'properties'> & {
  tls?: Omit<Tls, 'key' | 'passphrase'>;
  websocket?: Omit<Websocket, 'headers'>;
  properties?: Omit<Properties, 'authenticationData'>;
};

/** The secrets, where the document has them. */
export interface Secrets {
  password?: NonNullable<ConnectionParameters['password']>;
  tls?: Pick<Tls, 'key' | 'passphrase'>;
  websocket?: Pick<Websocket, 'headers'>;
  properties?: Pick<Properties, 'authenticationData'>;
}

/** Takes the secrets out of a document. `joinSecrets` puts them back, member for member. */
export function splitSecrets(parameters: ConnectionParameters): { open: OpenParameters; secrets: Secrets } {
  const { password, tls, websocket, properties, ...rest } = parameters;
  const open: OpenParameters = rest;
  const secrets: Secrets = password === undefined ? {} : { password };
  if (tls !== undefined) {
    [open.tls, secrets.tls] = divide(tls, ['key', 'passphrase']);
  }
  if (websocket !== undefined) {
    [open.websocket, secrets.websocket] = divide(websocket, ['headers']);
  }
  if (properties !== undefined) {
    [open.properties, secrets.properties] = divide(properties, ['authenticationData']);
  }
  return { open, secrets: withoutEmptyParts(secrets) };
}

/** The whole document again. */
export function joinSecrets(open: OpenParameters, secrets: Secrets): ConnectionParameters {
  const { tls, websocket, properties, ...rest } = open;
  return {
    ...rest,
    ...(secrets.password === undefined ? {} : { password: secrets.password }),
    ...(tls === undefined ? {} : { tls: { ...tls, ...secrets.tls } }),
    ...(websocket === undefined ? {} : { websocket: { ...websocket, ...secrets.websocket } }),
    ...(properties === undefined ? {} : { properties: { ...properties, ...secrets.properties } }),
  };
}

/** Which secrets are set, by dotted name: `password`, `tls.key`, `websocket.headers.Authorization`. */
export function secretNames({ password, tls, websocket, properties }: Secrets): string[] {
  return [
    ...(password === undefined ? [] : ['password']),
    ...namesIn('tls', tls),
    ...namesIn('websocket.headers', websocket?.headers),
    ...namesIn('properties', properties),
  ];
}

function namesIn(parent: string, part: object | undefined): string[] {
  return Object.keys(part ?? {}).map((name) => `${parent}.${name}`);
}

/** An object without some of its members, and those members alone. */
function divide<T extends object, Name extends keyof T>(
  whole: T,
  names: readonly Name[],
): [Omit<T, Name>, Pick<T, Name>] {
  const isNamed = ([name]: [string, unknown]) => names.some((known) => known === name);
  const members = Object.entries(whole);
  return [
    Object.fromEntries(members.filter((member) => !isNamed(member))) as Omit<T, Name>,
    Object.fromEntries(members.filter(isNamed)) as Pick<T, Name>,
  ];
}

function withoutEmptyParts(secrets: Secrets): Secrets {
  return Object.fromEntries(
    Object.entries(secrets).filter(([, part]) => typeof part === 'string' || Object.keys(part).length > 0),
  );
}
