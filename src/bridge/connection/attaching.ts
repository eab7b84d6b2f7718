import type { IConnackPacket } from 'mqtt-packet';
import { Problem } from '../../errors/problem.ts';
import { SESSION_NEVER_EXPIRES } from '../../mqtt/limits.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { StateReason } from '../../schemas/connection-view.ts';
import type { InboundOptions } from '../delivery/inbound.ts';
import type { Outbound } from '../delivery/outbound.ts';
import type { BridgeDependencies, BrokerProfile } from '../dependencies.ts';
import { toConnack } from '../link/connack.ts';
import { connectOptions, expirySeconds, isPersistent, startsClean } from '../link/connect-options.ts';
import type { Dialer } from '../link/dial.ts';
import { type LinkEnd, LinkError } from '../link/link-end.ts';
import type { PacketIdentifiers } from '../link/packet-identifiers.ts';
import { readServerLimits } from '../link/server-limits.ts';
import { unlessAborted } from '../waiting.ts';
import { Attachment } from './attachment.ts';
import { sayQueueFull } from './queue-full.ts';
import type { Session } from './session.ts';

export interface AttachingOptions {
  /** What CONNECT says. */
  parameters: ConnectionParameters;
  profile: BrokerProfile | undefined;
  deps: Pick<BridgeDependencies, 'store' | 'maxPayload'> & { dialer: Dialer };
  session: Session;
  /** The queue's, as they are at each group. */
  limits: InboundOptions['limits'];
  outbound: Outbound;
  identifiers: PacketIdentifiers;
  /** Ends the attempt. */
  signal: AbortSignal;
  /** The store failed under the inbound flow. */
  onStoreFailure: InboundOptions['onFailure'];
  /** The network connection ended after it had been opened, and not by us. */
  onLost: (end: LinkEnd, connectedAt: number) => void;
}

/** Said while online, until the next attach: whoever only looks at the state must not miss it. */
const SESSION_LOST: StateReason = {
  code: 'session-lost',
  detail:
    'The broker had no session to resume: what it kept for the one before is gone; the subscriptions were made anew',
};

/** A network connection that was accepted, and lost before all was in place. */
export class LostWhileOpening extends LinkError {
  readonly connectedAt: number;
  constructor(end: LinkEnd, connectedAt: number) {
    super(end);
    this.connectedAt = connectedAt;
  }
}

/**
 * The first half of an attempt: CONNECT. What the broker sends waits until `openAttachment`. The lease is the caller's
 * business. Rejects with what went wrong, and leaves nothing open then; a CONNACK that refuses is shown like one that
 * accepts.
 */
export async function connectAttachment(options: AttachingOptions): Promise<Attachment> {
  const { parameters, profile, deps, session, outbound, identifiers, signal, onStoreFailure, onLost } = options;
  const { maxPayload } = deps;
  const clean = isClean(options);
  try {
    return await Attachment.connect({
      dialer: deps.dialer,
      addresses: connectOptions(parameters, profile, { clean, maxPayload }),
      identifiers,
      inbound: {
        store: deps.store,
        fence: session.fence(),
        limits: options.limits,
        maxPayload,
        sessionMayBeNew: !tellsSessionPresent(parameters),
        onFailure: onStoreFailure,
        onHold: sayQueueFull(session),
      },
      outbound,
      onLost,
      standing: () => session.standing,
      signal,
    });
  } catch (error) {
    const connack = error instanceof LinkError ? error.end.connack : undefined;
    if (connack !== undefined) session.set({ connack: toConnack(connack, parameters.protocolVersion) });
    throw error;
  }
}

/** The second half: the session, and the subscriptions that are wanted by now. Rejects with what went wrong. */
export async function openAttachment(
  attachment: Attachment,
  options: AttachingOptions,
  wanted: ConnectionParameters,
): Promise<void> {
  const { link, connectedAt } = attachment;
  const { session, signal } = options;
  try {
    await openSession(attachment, options);
    await applySubscriptions(attachment, { parameters: wanted, session, signal });
    if (!link.alive) throw new LinkError(link.end);
    attachment.watch();
  } catch (error) {
    throw link.alive || signal.aborted ? error : new LostWhileOpening(link.end, connectedAt);
  }
}

/** Before anything is stored or acknowledged, the store must know which session of the broker this is. */
async function openSession(attachment: Attachment, options: AttachingOptions): Promise<void> {
  const { connack, link } = attachment;
  const { parameters, session, deps } = options;
  const { protocolVersion } = parameters;
  // Exchanges and identifiers are not carried into another protocol version: it counts as another session.
  const before = !isClean(options) && session.generation > 0 && session.status.protocolVersion === protocolVersion;
  const present = before && (connack.sessionPresent || !tellsSessionPresent(parameters));
  // One that was to end with its network connection was not lost.
  const lost = before && !present && session.outlivesConnection;
  session.set({
    connack: toConnack(connack, protocolVersion),
    protocolVersion,
    sessionExpiry: sessionExpiry(parameters, connack),
  });
  if (!present) await session.begin();
  else if (!tellsSessionPresent(parameters)) session.table.reset();
  const { generation } = session;
  const former = await deps.store.exchanges.load(session.fence(), generation);
  if (!link.alive) throw new LinkError(link.end);
  attachment.open({ generation, present, former, limits: readServerLimits(connack), protocolVersion });
  session.setState('online', lost ? SESSION_LOST : null);
}

function isClean({ parameters, session }: AttachingOptions): boolean {
  return startsClean(parameters, session.generation === 0);
}

/** Seconds; what the broker says goes before what CONNECT said. [MQTT 5.0 §3.2.2.3.2] */
function sessionExpiry(parameters: ConnectionParameters, { properties }: IConnackPacket): number {
  if (parameters.protocolVersion !== '5.0') return isPersistent(parameters) ? SESSION_NEVER_EXPIRES : 0;
  return properties?.sessionExpiryInterval ?? expirySeconds(parameters.sessionExpiryInterval);
}

/** Makes the broker's subscriptions those of the parameters. Rejects when it does not answer in time. */
export async function applySubscriptions(
  { link }: Attachment,
  { parameters, session, signal }: Pick<AttachingOptions, 'parameters' | 'session' | 'signal'>,
): Promise<void> {
  const { connectTimeout, protocolVersion, subscriptions = [] } = parameters;
  const deadline = setTimeout(() => link.destroy('The broker sent no SUBACK in time'), connectTimeout * 1000);
  try {
    await unlessAborted(signal, session.table.apply(link, subscriptions, protocolVersion));
  } finally {
    clearTimeout(deadline);
  }
  await session.save();
}

/**
 * 3.1 has no Session Present flag. Its session is taken for the one before, with all subscriptions made again, and what
 * is new is told by DUP.
 */
function tellsSessionPresent({ protocolVersion }: ConnectionParameters): boolean {
  return protocolVersion !== '3.1';
}

/** The reason that an attempt is interrupted with. */
export function interrupted(): Problem {
  return new Problem('changed-meanwhile', { detail: 'Another request ended the attempt' });
}
