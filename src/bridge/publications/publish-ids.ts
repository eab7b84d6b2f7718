import { randomBytes } from 'node:crypto';
import type { Key } from '../ports.ts';

const SEPARATOR = '.';

/** Names a publication under its key. */
export function newPublicationId(): string {
  return randomBytes(12).toString('base64url');
}

/** What a caller asks for an outcome with: with the key in it any instance finds the record. */
export function toPublishId(key: Key, publication: string): string {
  return Buffer.from(`${key}${SEPARATOR}${publication}`).toString('base64url');
}

/** The publication that a publishId names; null for what is none. */
export function fromPublishId(publishId: string): { key: Key; publication: string } | null {
  const bytes = Buffer.from(publishId, 'base64url');
  const text = bytes.toString();
  const at = text.lastIndexOf(SEPARATOR);
  const canonical = bytes.toString('base64url') === publishId && Buffer.from(text).equals(bytes);
  return canonical && at > 0 ? { key: text.slice(0, at) as Key, publication: text.slice(at + 1) } : null;
}
