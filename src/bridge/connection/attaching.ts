import { Problem } from '../../errors/problem.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { StateReason } from '../../schemas/connection-view.ts';
import type { InboundOptions } from '../delivery/inbound.ts';
import type { Outbound } from '../delivery/outbound.ts';
import type { BridgeDependencies, BrokerProfile } from '../dependencies.ts';
import { toConnack } from '../link/connack.ts';
import { connectOptions, isPersistent, startsClean } from '../link/connect-options.ts';
import type { Dialer } from '../link/dial.ts';
import { type LinkEnd, LinkError } from '../link/link-end.ts';
import type { PacketIdentifiers } from '../link/packet-identifiers.ts';
import { readServerLimits } from '../link/server-limits.ts';
import { unlessAborted } from '../waiting.ts';
import { Attachment, type AttachmentOptions } from './attachment.ts';
import type { Session } from './session.ts';

export interface AttachingOptions {
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
  /** CONNACK accepted: from now on it can be ended. */
  onConnected: (attachment: Attachment) => void;
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
 * Brings a Connection online: CONNECT, the session, the subscriptions. The lease is the caller's business. Rejects with
 * what went wrong, and leaves nothing open then.
 */
export async function openAttachment(options: AttachingOptions): Promise<void> {
  const { parameters, profile, deps, session, outbound, identifiers, signal, onStoreFailure, onConnected, onLost } =
    options;
  const { maxPayload } = deps;
  const clean = startsClean(parameters, session.generation === 0);
  let opened = false;
  const attachment = await connect(session, parameters, {
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
    },
    outbound,
    onLost: (end, connectedAt) => {
      // Until then the end is told by what rejects.
      if (opened) onLost(end, connectedAt);
    },
    signal,
  });
  try {
    onConnected(attachment);
    await openSession(attachment, clean, options);
    await applySubscriptions(attachment, options);
    if (!attachment.link.alive) throw new LinkError(attachment.link.end);
    opened = true;
  } catch (error) {
    const lost = !attachment.link.alive && !signal.aborted;
    const { end } = attachment.link;
    attachment.abandon();
    throw lost ? new LostWhileOpening(end, attachment.connectedAt) : error;
  }
}

/** A CONNACK that refuses is shown like one that accepts. */
async function connect(
  session: Session,
  { protocolVersion }: ConnectionParameters,
  options: AttachmentOptions,
): Promise<Attachment> {
  try {
    return await Attachment.connect(options);
  } catch (error) {
    const connack = error instanceof LinkError ? error.end.connack : undefined;
    if (connack !== undefined) session.set({ connack: toConnack(connack, protocolVersion) });
    throw error;
  }
}

/** Before anything is stored or acknowledged, the store must know which session of the broker this is. */
async function openSession(
  attachment: Attachment,
  clean: boolean,
  { parameters, session, deps }: AttachingOptions,
): Promise<void> {
  const { protocolVersion } = parameters;
  // Exchanges and identifiers are not carried into another protocol version: it counts as another session.
  const before = !clean && session.generation > 0 && session.status.protocolVersion === protocolVersion;
  const present = before && (attachment.connack.sessionPresent || !tellsSessionPresent(parameters));
  session.set({ connack: toConnack(attachment.connack, protocolVersion), protocolVersion });
  if (!present) await session.begin();
  else if (!tellsSessionPresent(parameters)) session.table.reset();
  const { generation } = session;
  const former = await deps.store.exchanges.load(session.fence(), generation);
  if (!attachment.link.alive) throw new LinkError(attachment.link.end);
  const limits = readServerLimits(attachment.connack);
  attachment.open({ generation, present, former, limits, protocolVersion });
  const lost = before && !present && isPersistent(parameters);
  session.setState('online', lost ? SESSION_LOST : null);
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
