import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import type { ConnectionInput } from '../connection.ts';
import type { Sound } from '../faults.ts';
import type { Report } from '../report.ts';

/** What the deployment has to say about a Connection's document. */
export interface ConnectionContext {
  /** Names of the operator's broker profiles. */
  readonly brokers: ReadonlySet<string>;
  /** Those of them that are reached in the clear over a network. */
  readonly plaintextBrokers: ReadonlySet<string>;
  /** Why a caller may not use this broker URL; null when it may. */
  urlAllowed(url: URL): string | null;
  /** Refuse credentials over plaintext to another machine. */
  readonly requireTls: boolean;
  /** Whether `tls.rejectUnauthorized: false` is allowed. */
  readonly allowInsecureTls: boolean;
  readonly defaultHold: 'always' | 'onDemand';
  /** Whether the optional QUIC package is installed. */
  readonly quicAvailable: boolean;
  /** Bytes. */
  readonly maxPayload: number;
  /** Seconds until another instance takes over from a dead one; absent where nobody does. */
  readonly failOver?: number;
  /** The document was judged when it was written: what is slow to judge (an encrypted key) is not judged again. */
  readonly stored?: boolean;
}

/** The sound parts of a document, as the caller wrote them: no defaults. */
export type ConnectionPart = Sound<ConnectionInput>;

/** One subject of MQTT's, judged across the members of a document. */
export type ConnectionRule = (part: ConnectionPart, context: ConnectionContext, report: Report) => void;

export function versionOf(part: ConnectionPart): ProtocolVersion {
  return part.protocolVersion ?? '5.0';
}

/** The ClientID that CONNECT will carry; `''`: one is to be assigned. */
export function effectiveClientId(part: ConnectionPart): string {
  return part.clientId ?? part.id ?? '';
}

/** Whether the session outlives its network connection. [MQTT 5.0 §3.1.2.11.2, MQTT 3.1.1 §3.1.2.4] */
export function persists(part: ConnectionPart): boolean {
  if (versionOf(part) !== '5.0') return part.cleanSession === false;
  return part.sessionExpiryInterval !== undefined && part.sessionExpiryInterval !== 0;
}

/** The members by which `persists` judges. */
export const PERSISTENCE = ['/protocolVersion', '/cleanSession', '/sessionExpiryInterval'];

/** The broker URLs of the document that are sound, each with its place. */
export function urlsOf(part: ConnectionPart): { text: string; pointer: string }[] {
  if (part.url === undefined) return [];
  if (typeof part.url === 'string') return [{ text: part.url, pointer: '/url' }];
  return part.url.flatMap((text, index) => (text === undefined ? [] : [{ text, pointer: `/url/${index}` }]));
}
