import type { OutboxLimits } from '../ports.ts';

/** What may wait in the outbox of a Connection: more is `overloaded`. */
export const OUTBOX_LIMITS: OutboxLimits = { maxMessages: 10_000, maxBytes: 64 * 1024 * 1024 };

/** How long an outcome is kept, in milliseconds. */
export const RETENTION_MS = 24 * 60 * 60 * 1_000;

/** How long a message may wait in the outbox, in milliseconds; its Message Expiry Interval can make it less. */
export const PENDING_MS = 24 * 60 * 60 * 1_000;
