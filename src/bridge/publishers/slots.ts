/**
 * Pooled publishers publish for callers without a Connection of their own. Each is a Connection that belongs to the
 * bridge, with a persistent session, in a slot of its broker: its id says which. So whoever takes the slot after a crash
 * finds what was under way in it.
 */
import { createHash } from 'node:crypto';
import { generateClientId } from '../../mqtt/client-id.ts';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { RESERVED_ID_PREFIX } from '../../schemas/common.ts';
import { type ConnectionParameters, connectionParameters } from '../../schemas/connection.ts';

const PREFIX = `${RESERVED_ID_PREFIX}publisher/`;
/** Slots that the idempotency keys of one broker share. Another number would look for recorded outcomes elsewhere. */
const KEYED_SLOTS = 16;
/** How long a broker keeps what is under way without a network connection, in seconds. */
const SESSION_EXPIRY = 86_400;

/** Where an instance publishes what has no idempotency key: each has a slot to itself, the first that is free. */
export function homeSlot(broker: string, number: number): string {
  return `${PREFIX}${broker}/home.${number}`;
}

/** Where a publish with an idempotency key goes, at whichever instance it arrives: to the record of the first. */
export function keyedSlot(broker: string, idempotencyKey: string): string {
  const number = createHash('sha256').update(idempotencyKey).digest().readUInt32BE() % KEYED_SLOTS;
  return `${PREFIX}${broker}/keyed.${number}`;
}

/** Whether this is the id of a slot. */
export function isSlot(id: string): boolean {
  return id.startsWith(PREFIX);
}

/** How a publisher connects. Without subscriptions nothing arrives, and without a Will nothing is said at its end. */
export function slotDocument(
  { id, broker, clientId = generateClientId() }: { id: string; broker: string; clientId?: string },
  protocolVersion: ProtocolVersion,
): ConnectionParameters & { id: string } {
  const session =
    protocolVersion === '5.0' ? { cleanStart: false, sessionExpiryInterval: SESSION_EXPIRY } : { cleanSession: false };
  return {
    ...connectionParameters.parse({ broker, protocolVersion, ...session }),
    id,
    clientId,
    hold: 'always',
  };
}
