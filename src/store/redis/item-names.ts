import type { PublicationItem } from '../../bridge/ports.ts';

/** The field that has an item's state, in the hash of a Connection's publications. */
export function toItemName({ publication, index }: PublicationItem): string {
  return `${publication}:${index}`;
}

export function fromItemName(name: string): PublicationItem {
  const colon = name.lastIndexOf(':');
  return { publication: name.slice(0, colon), index: Number(name.slice(colon + 1)) };
}
