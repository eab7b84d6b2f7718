import type { NewPublication } from '../bridge/ports.ts';

/** What the outcome of a message may take. Those that the bridge records once it knows them are shorter. */
const OUTCOME_BYTES = 512;

/** What a publication counts with against `PublicationLimits.publicationBytes`. */
export function sizeOf({ id, idempotencyKey, fingerprint, items }: NewPublication): number {
  const outcomes = items.map(({ outcome }) => Math.max(OUTCOME_BYTES, Buffer.byteLength(outcome ?? '')));
  const names = Buffer.byteLength(`${id}${idempotencyKey ?? ''}${fingerprint}`);
  return outcomes.reduce((sum, bytes) => sum + bytes, names);
}
