/** What the contract has and this release does not: refused, so that nobody relies on it. A row goes when it works. */
import type { ConnectionContext, ConnectionPart, ConnectionRule } from './rule.ts';

interface NotYet {
  readonly pointer: string;
  readonly what: string;
  /** Other members by which `asked` judges. */
  readonly basis?: readonly string[];
  readonly asked: (part: ConnectionPart, context: ConnectionContext) => boolean;
}

const NOT_YET: readonly NotYet[] = [
  {
    pointer: '/hold',
    what: '`hold` "onDemand"',
    basis: ['/hold'],
    asked: (part, { defaultHold }) => (part.hold ?? defaultHold) === 'onDemand',
  },
  { pointer: '/idleTtl', what: '`idleTtl`', asked: (part) => typeof part.idleTtl === 'number' },
];

export const notYetRules: ConnectionRule = (part, context, report) => {
  for (const { pointer, what, basis, asked } of NOT_YET) {
    if (!asked(part, context)) continue;
    report.fault({ pointer, detail: `${what} is not available in this release of the bridge.` }, basis);
  }
};
