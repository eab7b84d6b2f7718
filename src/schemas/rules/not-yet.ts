/** What the contract has and this release does not: refused, so that nobody relies on it. A row goes when it works. */
import type { ConnectionPart, ConnectionRule } from './rule.ts';

interface NotYet {
  readonly pointer: string;
  readonly what: string;
  readonly asked: (part: ConnectionPart) => boolean;
}

const NOT_YET: readonly NotYet[] = [
  { pointer: '/idleTtl', what: '`idleTtl`', asked: (part) => typeof part.idleTtl === 'number' },
];

export const notYetRules: ConnectionRule = (part, _context, report) => {
  for (const { pointer, what, asked } of NOT_YET) {
    if (!asked(part)) continue;
    report.fault({ pointer, detail: `${what} is not available in this release of the bridge.` });
  }
};
