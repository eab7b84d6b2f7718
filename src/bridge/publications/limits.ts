import type { PublicationLimits } from '../ports.ts';

/** What a Connection may have waiting in its outbox, and what may be kept of its publishes: more is `overloaded`. */
export const PUBLICATION_LIMITS: PublicationLimits = {
  outboxMessages: 10_000,
  outboxBytes: 64 * 1024 * 1024,
  publications: 100_000,
  publicationBytes: 64 * 1024 * 1024,
};

/** How long an outcome is kept, in milliseconds. */
export const RETENTION_MS = 24 * 60 * 60 * 1_000;

/** How long a message may wait in the outbox, in milliseconds; its Message Expiry Interval can make it less. */
export const PENDING_MS = 24 * 60 * 60 * 1_000;
